"""The storage queue trigger and the storage queue output."""
