"""Queues, topics and subscriptions as a state machine: no I/O, and time comes from a clock that the caller gives."""
