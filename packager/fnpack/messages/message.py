"""A message as it is shown and sent, whatever service it is in."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from fnpack_triggers.base import Json


@dataclass(frozen=True, slots=True)
class Message:
    """A body, and what the service knows of it by name (`id`, `delivery_count`, ...).

    `sequence` counts the messages of a Service Bus entity.
    """

    body: bytes
    facts: Mapping[str, Json] = field(default_factory=dict)
    sequence: int = 0

    def as_json(self) -> dict[str, Json]:
        """For a program: the body as text, or as base64 where it is none."""
        try:
            body: dict[str, Json] = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.body).decode()}
        return {**body, **self.facts}

    def describe(self) -> str:
        """For a person: what the service knows, on one line."""
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.facts.items())


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to send. The last three only a Service Bus knows."""

    body: bytes
    content_type: str | None = None
    session_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    message_id: str | None = None
