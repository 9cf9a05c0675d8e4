"""The host's side of worker processes: start, dispatch, watch, replace."""
