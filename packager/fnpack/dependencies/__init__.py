"""Dependencies: locked, chosen, fetched and built for an image's platform and Python, as wheels or a conda prefix."""
