"""Names of storage queues: what is allowed, and which queue takes the poison messages of another."""

from __future__ import annotations

import re

from fnpack_triggers.errors import BindingError

_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_POISON_SUFFIX = "-poison"


def check_queue_name(name: str) -> str:
    """The queue's name in lower case, as Azure's host takes it. Raises BindingError if no queue can be named so."""
    name = name.lower()
    if not _NAME.fullmatch(name):
        raise BindingError(
            f"`{name}` cannot be the name of a storage queue",
            hint="use 3 to 63 letters, digits and single hyphens, beginning and ending with a letter or digit",
        )
    return name


def poison_queue_of(name: str) -> str | None:
    """`<name>-poison`; None if `name` is itself a poison queue or too long to get one."""
    poison = name + _POISON_SUFFIX
    return None if name.endswith(_POISON_SUFFIX) or not _NAME.fullmatch(poison) else poison
