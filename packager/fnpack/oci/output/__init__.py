"""Where an assembled image can go, apart from a registry: a folder, an archive, the Docker Engine."""
