"""The timer trigger: runs a function on a schedule, on one host at a time."""
