"""Puts the front together for an app: its routes, its keys, the admin endpoints, the webhooks and the home page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.http.admin import Admin
from fnpack_host.http.control import HostControl
from fnpack_host.http.cors import Cors
from fnpack_host.http.front import Area, Front
from fnpack_host.http.home import Home
from fnpack_host.http.key_ring import KeyRing
from fnpack_host.http.key_stores import KeyStoreError, key_store
from fnpack_host.http.keys import KeyStore
from fnpack_host.http.options import HttpOptions
from fnpack_host.http.routes import NO_VALUES, Match, Routes
from fnpack_host.http.scoring_surface import ScoringSurface
from fnpack_host.http.webhooks import BLOBS_KEY, Webhooks
from fnpack_host.invoker import Invoker
from fnpack_triggers.base import EventGridSink
from fnpack_triggers.registry import state_connection

log = logging.getLogger("fnpack.host")


@dataclass(frozen=True, slots=True)
class HttpSide:
    """The front of an app, the keys it accepts (None: open to all) and the functions whose routes cannot be used."""

    front: Front
    keys: KeyRing | None
    errors: Mapping[str, str]

    async def close(self) -> None:
        """Stop reading keys."""
        if self.keys is not None:
            await self.keys.close()


async def assemble(
    app: FunctionApp,
    invoker: Invoker,
    control: HostControl,
    *,
    enforce_keys: bool,
    sinks: Callable[[], Mapping[str, EventGridSink]],
    scoring: Mapping[str, object],
) -> HttpSide:
    """Make the HTTP side of `app`. `sinks` gives its Event Grid blob triggers, by function name.

    `scoring` is what the worker has said of the entry script (fnpack_scoring.facts); empty where there is none.

    Raises HostJsonError, and KeyStoreError where functions ask for keys and there is no place for them.
    """
    options = HttpOptions.read(app.host_json, app.settings)
    # A broken HTTP function has its route, too: it answers 500, as on Azure; a disabled one is for the admin alone.
    routes = Routes([function for function in app.functions if function.is_http], options.route_prefix)
    keys = await _keys(app, routes, ask=bool(sinks())) if enforce_keys else None
    admin = Admin(app, keys, control, options.route_prefix)
    areas: dict[str, Area] = {"/admin/": admin, "/runtime/webhooks/": Webhooks(keys, sinks)}
    home = Home(is_hidden=app.settings.flag("AzureWebJobsDisableHomepage"))
    surface = _surface(routes, invoker, scoring, enforce_keys=enforce_keys)
    origins = scoring.get("cors_origins")
    cors = Cors(map(str, origins)) if surface is not None and isinstance(origins, list) and origins else None
    front = Front(routes, invoker, keys, options, areas=areas, home=home, scoring=surface, cors=cors)
    return HttpSide(front, keys, routes.errors)


def _surface(
    routes: Routes, invoker: Invoker, facts: Mapping[str, object], *, enforce_keys: bool
) -> ScoringSurface | None:
    """SDK v1's routes, for the first HTTP function whose entry script is loaded."""
    scored = [route for route in routes.all() if route.function.is_scoring and route.function.error is None]
    if not scored or not facts:
        return None
    has_keys = enforce_keys and scored[0].auth_level != "anonymous"
    return ScoringSurface(Match(scored[0], NO_VALUES), invoker, facts, has_keys=has_keys)


async def _keys(app: FunctionApp, routes: Routes, *, ask: bool) -> KeyRing:
    """The app's keys; where nothing asks for one, they are read when the first admin request comes."""
    guarded = [route.function.name for route in routes.all() if route.auth_level != "anonymous"]
    store = _store(app, is_needed=bool(guarded) or ask)
    ring = KeyRing(store, guarded, [BLOBS_KEY] if ask else [])
    if guarded or ask:
        await ring.load()
        log.info(
            "keys are enforced for %s; they are in %s",
            ", ".join([*guarded, "webhooks"][: len(guarded) or 1]),
            store,
        )
    return ring


def _store(app: FunctionApp, *, is_needed: bool) -> KeyStore | None:
    triggers = [function.trigger for function in app.functions if function.bindings]
    try:
        return key_store(app.settings, app.host_id, state_connection(app.settings, triggers))
    except KeyStoreError as error:
        if is_needed:
            raise
        log.debug("the admin endpoints are closed: %s", error)
        return None
