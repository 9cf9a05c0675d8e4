"""Where an image comes from and what is in it: labels for every image, a CycloneDX SBOM beside it.

The script's digest stands in a label and not in the SBOM, so that an edited script leaves the SBOM as it is.
"""
