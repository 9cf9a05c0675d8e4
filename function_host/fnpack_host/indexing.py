"""Asks a worker which functions a v2 app has, for those who run no host: its decorators are code."""

from __future__ import annotations

import sys

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.workers.process import WorkerProcess


async def indexed(app: FunctionApp) -> FunctionApp:
    """The app with its functions, those that cannot run with their error. What user code says goes to stderr.

    Raises WorkerStartError where the script cannot be imported.
    """
    worker = WorkerProcess(app.start_facts(), app.settings, lambda _: None, sys.stderr)
    try:
        await worker.start()
    finally:
        await worker.stop()
    found = app.indexed(worker.started_facts.get("functions"))
    errors = worker.started_facts.get("errors")
    return found.with_errors(errors if isinstance(errors, dict) else {})
