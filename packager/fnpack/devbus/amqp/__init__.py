"""AMQP 1.0 as bytes: types, performatives, frames and message sections. Nothing here does I/O or knows Service Bus."""
