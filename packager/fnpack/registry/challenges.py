"""What a registry's 401 asks for (WWW-Authenticate), and the scopes that tokens are asked for with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Scopes = frozenset[str]  # `repository:team/app:pull,push`, each resource once, actions sorted

_PART = (
    r"""\s*,?\s*(?:(?P<key>[\w-]+)\s*=\s*(?:"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<bare>[^\s,"]+))"""
    r"""|(?P<scheme>[A-Za-z][\w-]*))"""
)


class Challenge(NamedTuple):
    """How a registry wants to be told who asks. A bearer token comes from `realm`, for `service`."""

    scheme: Literal["basic", "bearer"]
    realm: str = ""
    service: str = ""
    scopes: Scopes = frozenset()


def challenge_in(headers: Iterable[str]) -> Challenge | None:
    """The challenge that can be answered; a bearer's before a basic one."""
    found: list[tuple[str, dict[str, str]]] = []
    pattern = re.compile(_PART)  # not with the module: most registries ask once, many never
    for header in headers:
        position = 0
        while match := pattern.match(header, position):
            position = match.end()
            if match["scheme"]:
                found.append((match["scheme"].lower(), {}))
            elif found:
                quoted = match["quoted"]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["bare"]
                found[-1][1][match["key"].lower()] = value
    for scheme, values in found:
        if scheme == "bearer" and values.get("realm"):
            scopes = merged(values.get("scope", "").split())
            return Challenge("bearer", values["realm"], values.get("service", ""), scopes)
    return Challenge("basic") if any(scheme == "basic" for scheme, _ in found) else None


def scope(repository: str, *actions: str) -> Scopes:
    """The scope of work on one repository."""
    return frozenset({f"repository:{repository}:{','.join(sorted(actions))}"})


def merged(scopes: Iterable[str]) -> Scopes:
    """Scopes in their one spelling: each resource once, with all actions asked for."""
    actions: dict[str, set[str]] = {}
    for one in scopes:
        resource, _, wanted = one.rpartition(":")
        if resource:
            actions.setdefault(resource, set()).update(filter(None, wanted.split(",")))
    return frozenset(f"{resource}:{','.join(sorted(wanted))}" for resource, wanted in actions.items())


def covers(scopes: Scopes, wanted: Scopes) -> bool:
    """Whether a token for `scopes` is one for `wanted` too."""
    return merged([*scopes, *wanted]) == scopes
