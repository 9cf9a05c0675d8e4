"""A drain that was asked for over HTTP, and the end of the host."""

import asyncio

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.host import Host, HostOptions
from fnpack_host.settings import Settings


class SettlingListener:
    """Takes half a second to settle what is in flight."""

    has_settled = False

    async def start(self, deliver):
        """Nothing to start."""

    async def stop(self):
        """Settle."""
        await asyncio.sleep(0.5)
        self.has_settled = True


async def test_host_that_stops_in_the_middle_of_a_drain_waits_for_its_end(scoring_app):
    app = FunctionApp.load(scoring_app("def init(): pass\ndef run(data): return data\n"), Settings({}))
    host = Host(app, HostOptions(port=0))
    await host.start()
    listener = SettlingListener()
    host._listeners.append(listener)
    await host.drain()
    await host.stop()
    assert listener.has_settled
