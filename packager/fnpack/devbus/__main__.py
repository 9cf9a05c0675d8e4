"""`python -m fnpack.devbus`: runs the development Service Bus until it is interrupted or terminated."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from fnpack.devbus.config import BusConfig, read_config
from fnpack.devbus.entities.errors import MalformedError
from fnpack.devbus.entities.settings import QueueSettings
from fnpack.devbus.server import DevBus
from fnpack_triggers.errors import FnpackError

_NOTICE = "development service: every key is accepted, loopback only, not for production"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the connection string is the one line on standard output, written once clients may connect."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = read_config(options.config) if options.config else None
        asyncio.run(_serve(options, config))
    except FnpackError as exc:
        print(f"error: {exc}" + (f"\nhint: {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return exc.exit_code
    except OSError as exc:
        print(f"error: cannot listen on port {options.port}: {exc.strerror}", file=sys.stderr)
        return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fnpack.devbus", description=f"A Service Bus to develop with ({_NOTICE})."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the official emulator's Config.json")
    parser.add_argument(
        "--port", type=int, default=0, help="port on 127.0.0.1; 0, the default, takes a free one"
    )
    parser.add_argument("--store", type=Path, metavar="FILE", help="keep messages in this file over restarts")
    parser.add_argument(
        "--queue",
        action="append",
        default=[],
        metavar="NAME",
        help="a queue to make, or `NAME,session`; may be repeated",
    )
    parser.add_argument(
        "--subscription",
        action="append",
        default=[],
        metavar="TOPIC/NAME",
        help="a topic and a subscription to make; may be repeated",
    )
    return parser


def _entity(text: str) -> tuple[str, QueueSettings]:
    """The name and the settings in `NAME` or `NAME,session`."""
    name, separator, flag = text.partition(",")
    if separator and flag != "session":
        raise MalformedError(f"`{flag}` means nothing here", hint="write `NAME` or `NAME,session`")
    return name, QueueSettings(requires_session=flag == "session")


async def _serve(options: argparse.Namespace, config: BusConfig | None) -> None:
    bus = DevBus(store=options.store)
    connection_string = await bus.start(options.port)
    try:
        if config is not None:
            bus.apply(config)
        for queue in options.queue:
            bus.ensure_queue(*_entity(queue))
        for subscription in options.subscription:
            path, settings = _entity(subscription)
            topic, _, name = path.rpartition("/")
            bus.ensure_subscription(topic, name, settings)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows has no handlers in the loop
                loop.add_signal_handler(one, stopping.set)
        print(connection_string, flush=True)
        print(f"fnpack.devbus: {_NOTICE}", file=sys.stderr, flush=True)
        await stopping.wait()
    finally:
        await bus.stop()


if __name__ == "__main__":
    raise SystemExit(main())
