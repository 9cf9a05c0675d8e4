"""The function-app directory: checks its parts, locks its dependencies and writes it. It builds no image."""
