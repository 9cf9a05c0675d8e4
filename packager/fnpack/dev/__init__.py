"""`fnpack dev`: an app with the services that it needs, on this machine, until Ctrl-C. For development only."""
