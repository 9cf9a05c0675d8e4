"""Which function answers a method and path. The more specific route template wins, as in ASP.NET Core."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fnpack_host.app.function_app import Function
from fnpack_host.http.template_parser import parse_template
from fnpack_host.http.templates import Parameter, Template
from fnpack_triggers.errors import BindingError

log = logging.getLogger("fnpack.host.http")

AUTH_LEVELS = ("anonymous", "function", "admin")
RESERVED = ("admin", "runtime")
NO_VALUES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP function's place: its template, its methods (empty: all) and what access it asks for."""

    function: Function
    template: Template
    methods: frozenset[str]
    auth_level: str

    def takes(self, method: str) -> bool:
        """Whether requests of this method are for the function."""
        return not self.methods or method in self.methods


@dataclass(frozen=True, slots=True)
class Match:
    """What a request found: the route, and the route values by parameter name."""

    route: Route
    values: Mapping[str, str]


class Routes:
    """The routes of an app: literal paths are found by one look-up, templates tried from the most specific on.

    A function whose route cannot be used is left out; `errors` says why, by function name.
    """

    def __init__(self, functions: Iterable[Function], prefix: str) -> None:
        self.errors: dict[str, str] = {}
        self._all: list[Route] = []
        for function in sorted(functions, key=lambda f: f.name.lower()):
            try:
                self._add(route_of(function, prefix))
            except BindingError as error:  # noqa: PERF203 - the others keep their routes
                self.errors[function.name] = str(error)
        self._literal: dict[str, list[Match]] = {}
        self._templates: list[Route] = []
        for route in sorted(
            self._all, key=lambda r: r.template.precedence
        ):  # stable: ties stay in order of names
            if route.template.is_literal:
                self._literal.setdefault("/" + route.template.literal, []).append(Match(route, NO_VALUES))
            else:
                self._templates.append(route)
        self._warn_of_other_order()

    def find(self, method: str, path: str) -> Match | None:
        """The route for a decoded path, or None: unknown path and wrong method are both 404 in Azure Functions."""
        plain = path.lower()
        for match in self._literal.get(plain.removesuffix("/") if len(plain) > 1 else plain, ()):
            if match.route.takes(method):
                return match
        for route in self._templates:
            if route.takes(method) and (values := route.template.match(path)) is not None:
                return Match(route, values)
        return None

    def all(self) -> list[Route]:
        """Every route, in order of the functions' names."""
        return list(self._all)

    def _add(self, route: Route) -> None:
        for other in self._all:
            is_same = route.template.text.lower() == other.template.text.lower()
            if is_same and (not route.methods or not other.methods or route.methods & other.methods):
                raise BindingError(
                    f"function {route.function.name}: the route `{route.template.text}` is also that of "
                    f"function {other.function.name}"
                )
        self._all.append(route)

    def _warn_of_other_order(self) -> None:
        """Azure's host asks functions in order of their names; say so where that would call another function."""
        for wanted in self._all:
            path = "/" + "/".join(_example(segment) for segment in wanted.template.segments)
            for method in wanted.methods or ("POST",):
                here = self.find(method, path)
                first = next(
                    (r for r in self._all if r.takes(method) and r.template.match(path) is not None), None
                )
                if here is not None and first is not None and here.route is wanted is not first:
                    log.warning(
                        "%s %s calls %s here, but %s on Azure, where functions are asked in order of their names; "
                        "rename one, or constrain the route `%s`",
                        method,
                        path,
                        wanted.function.name,
                        first.function.name,
                        first.template.text,
                    )


def route_of(function: Function, prefix: str) -> Route:
    """The route of an HTTP function below `prefix`. Raises BindingError for one that cannot be used."""
    trigger = function.trigger
    text = trigger.text("route") or function.name
    if text.lower().lstrip("~/").startswith(RESERVED) and trigger.text("route"):
        raise BindingError(
            f"function {function.name}: the route `{text}` begins with `admin` or `runtime`, which the host keeps"
        )
    parse_template(text)  # so that an error names what the user wrote
    full = f"{prefix.strip('/')}/{text.removeprefix('~').removeprefix('/')}" if prefix.strip("/") else text
    methods = trigger.properties.get("methods") or []
    if not isinstance(methods, list) or not all(isinstance(method, str) for method in methods):
        raise BindingError(f"function {function.name}: methods must be a list of strings")
    level = (trigger.text("authlevel") or "function").lower()
    if level not in AUTH_LEVELS:
        raise BindingError(
            f"function {function.name}: authLevel is `{level}`, but must be anonymous, function or admin"
        )
    return Route(function, parse_template(full), frozenset(str(m).upper() for m in methods), level)


def _example(segment: tuple[str | Parameter, ...]) -> str:
    """A path segment that a template's segment may match."""
    return "".join(part if isinstance(part, str) else (part.default or "1") for part in segment)
