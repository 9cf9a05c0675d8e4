"""The worker process: imports user code and runs it. Standard library only; it never imports the host's parts."""
