"""Keeps secrets out of messages: which stretches of a text must not be shown."""

from __future__ import annotations

import re

MASK = "***"

_VALUES = r"""(?ix)  # compiled with the first message that needs it
    ["']?[\w.-]*(?:passw|pwd|secret|token|credential|key|connection_?string)[\w.-]*["']?\s*[:=]\s*
        (?:"(?P<double>(?:\\.|[^"\\\n])*) | '(?P<single>(?:\\.|[^'\\\n])*) | (?P<bare>[^\s"'\[{,;}\]]+))
    | ://(?P<login>[^/\s"']+)@
    | [?&;](?:sig|code)=(?P<signature>[^&\s"';]+)
    """
_IN_ADDRESS = r"(?i)(?P<before>://)[^/\s\"']+@|(?P<query>[?&](?:sig|code|token|key)=)[^&\s\"';]+"


def secret_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each value that is or may be a secret: passwords, keys, tokens, logins in addresses."""
    return [
        match.span(name)
        for match in re.finditer(_VALUES, text)
        for name in (match.lastgroup,)
        if name is not None
    ]


def shown(text: str, start: int = 0, end: int | None = None) -> str:
    """`text[start:end]` with secrets as `***`. The whole text decides what is secret, not the piece alone."""
    stop = len(text) if end is None else end
    pieces: list[str] = []
    at = start
    for first, last in secret_spans(text):
        if first < last and first < stop and last > at:
            pieces += [text[at : max(first, at)], MASK]
            at = last
    pieces.append(text[at:stop] if at < stop else "")
    return "".join(pieces)


def addresses(text: str) -> str:
    """`text` with the logins and signatures of addresses in it as `***`; all else (`tokenizers==0.15`) stays."""
    return re.sub(
        _IN_ADDRESS, lambda found: f"://{MASK}@" if found["before"] else f"{found['query']}{MASK}", text
    )


def holds_login(text: str) -> bool:
    """Whether an address in `text` carries a user name, password, token or signature."""
    return any(found["query"] or found[0] != "://git@" for found in re.finditer(_IN_ADDRESS, text))
