"""Looks into images where they are: a registry, an OCI layout, an archive, the Docker Engine. It pulls no layer."""
