"""How a message's bytes travel as the text of a storage queue: as base64, or as they are."""

from __future__ import annotations

import base64
import binascii

from fnpack_triggers.errors import ServiceError

MAX_TEXT_BYTES = 64 * 1024  # of the text that is stored


class UndecodableError(ValueError):
    """A message's text is not what `messageEncoding` says."""


class MessageUnfitError(ServiceError):
    """A value cannot be a storage queue message: too long, or not text where messages are not encoded."""

    code = "FN144"


def encode(value: bytes, where: str, *, is_base64: bool) -> str:
    """The text to store for `value`. Raises MessageUnfitError; `where` names the queue in its message."""
    text = base64.b64encode(value).decode() if is_base64 else _as_text(value, where)
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        encoded = " as base64" if is_base64 else ""
        raise MessageUnfitError(
            f"a message of {len(value)} bytes is {size} bytes{encoded}, but the queue `{where}` takes "
            f"{MAX_TEXT_BYTES}",
            hint="write the value to a blob and send its name",
        )
    return text


def decode(text: str, *, is_base64: bool) -> bytes:
    """The bytes of a stored text. Raises UndecodableError."""
    if not is_base64:
        return text.encode()
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # .NET skips white space, too
    except (binascii.Error, ValueError) as exc:
        raise UndecodableError("it is not base64") from exc


def _as_text(value: bytes, where: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as exc:
        raise _unfit_text(where, "it is not UTF-8") from exc
    if any((char < " " and char not in "\t\n\r") or char in "\ufffe\uffff" for char in text):
        raise _unfit_text(where, "it holds a character that XML cannot carry")
    return text


def _unfit_text(where: str, reason: str) -> MessageUnfitError:
    return MessageUnfitError(
        f"a message for the queue `{where}` cannot be sent as plain text: {reason}",
        hint="set extensions.queues.messageEncoding of host.json to base64",
    )
