"""Triggers: per kind, the settings of a binding, a listener that yields events and settles them, and its output."""
