"""A development service: a small Azure Service Bus on the loopback for the unmodified SDK. Not for production.

`DevBus` runs in an event loop, `DevBusThread` in a thread of its own, `python -m fnpack.devbus` as a process. All three
give a connection string, and make queues, topics and subscriptions on demand.
"""

from __future__ import annotations

from fnpack.devbus.entities.errors import BusError
from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.server import DevBus
from fnpack.devbus.thread import DevBusThread

__all__ = ["BusError", "DevBus", "DevBusThread", "QueueSettings", "TopicSettings"]
