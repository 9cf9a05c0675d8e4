"""What both kinds of links have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fnpack.devbus.amqp.types import Value

if TYPE_CHECKING:
    from fnpack.devbus.wire.session import Session


class Link(ABC):
    """A link of a session."""

    def __init__(self, session: Session, handle: int) -> None:
        self.session = session
        self.handle = handle

    @abstractmethod
    def flow(self, fields: list[Value]) -> None:
        """The client tells of its end of the link."""

    def closed(self) -> None:  # noqa: B027  (most links have nothing to let go of)
        """The link is gone: let go of what it had."""
