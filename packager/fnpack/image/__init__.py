"""The image: its Dockerfile and build context, as files that a person can read, keep and build by hand."""
