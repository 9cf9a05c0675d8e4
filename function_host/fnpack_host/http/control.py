"""What the admin endpoints may ask of the host."""

from __future__ import annotations

from typing import Protocol

from fnpack_host.app.function_app import Function


class NotInvocable(Exception):  # noqa: N818 - names the answer
    """A function cannot be started by hand with the given input; the text says why."""


class HostControl(Protocol):
    """The running host, as the admin endpoints see it."""

    @property
    def state(self) -> str:
        """Starting, Running, Draining, Stopping or Stopped."""

    @property
    def pending(self) -> int:
        """Calls that have no answer yet."""

    def errors(self) -> dict[str, str]:
        """Why functions cannot run, by function name."""

    async def drain(self) -> None:
        """Stop the listeners; HTTP goes on."""

    async def resume(self) -> None:
        """Start the listeners again."""

    async def restart(self) -> None:
        """Put fresh workers in the place of those that run; calls in flight finish in the old ones."""

    async def invoke(self, function: Function, text: str) -> None:
        """Start the function with `text` as its trigger's input, and do not wait for its end. Raises NotInvocable."""
