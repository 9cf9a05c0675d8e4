"""The HTTP front: routes, keys, limits and admin endpoints over an ASGI server."""
