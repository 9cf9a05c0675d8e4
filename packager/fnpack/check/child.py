"""The child process of a check: imports the entry script, calls `init()` and, with a sample, `run()`, and tells of it.

It runs by itself on the image's Python (3.9 or newer, standard library only), through the app's own copy of the
scoring adapter, so that results and errors are those of the host. stdin holds a line of JSON (`facts`) and the sample's
bytes; as long as it stays open, the parent lives. stdout gets lines of JSON, stderr all that the script prints.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback

_SHOWN_BYTES = 4000
_MOST_CHARACTERS = 8000
_OS = ("<frozen os>", os.__file__)


class Report:
    """Writes lines of JSON to where stdout was; what the script prints goes to stderr from then on."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    def tell(self, **facts: object) -> None:
        """One line, at once."""
        self._file.write(json.dumps({**facts, "at_s": time.monotonic()}) + "\n")
        self._file.flush()


def main() -> None:
    """Check, and end whatever threads the script has started."""
    facts = json.loads(sys.stdin.buffer.readline())
    size = facts["sample"]["size"] if facts.get("sample") else 0
    sample = sys.stdin.buffer.read(size)
    if facts["is_watched"]:
        _end_with_parent()
    report = Report()
    faulthandler.enable(2, all_threads=False)
    _set_up(facts)
    step = ["import"]
    try:
        report.tell(**_check(facts, sample, step, report))
    except BaseException as error:
        report.tell(step=step[0], error=_described(error))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _check(facts: dict, sample: bytes, step: list, report: Report) -> dict:  # type: ignore[type-arg]
    report.tell(step="import")
    adapter = importlib.import_module("fnpack_scoring")
    script = importlib.import_module("fnpack_scoring.entry_script").EntryScript
    initialise = script.initialise

    def initialised(self: object) -> None:
        step[0] = "init"
        report.tell(step="init")
        initialise(self)

    script.initialise = initialised
    adapter.load()
    if not facts.get("sample"):
        return {"step": "done", "mapped": _mapped()}
    step[0] = "run"
    report.tell(step="run")
    result = _run(adapter, facts["sample"], sample)
    return {"step": "done", "result": result, "mapped": _mapped()}


def _mapped() -> list:  # type: ignore[type-arg]
    """The shared libraries in this process, where the system tells them."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as file:  # noqa: PTH123 - as plain as can be
            return sorted({line.split(None, 5)[-1].strip() for line in file if ".so" in line})
    except OSError:
        return []


def _run(adapter: object, how: dict, sample: bytes) -> dict:  # type: ignore[type-arg]
    """Give the sample to `run()` as the app's trigger would; raises what it raises, also behind an HTTP answer."""
    if how["trigger"] != "http":
        return _shown(adapter.score(sample))  # type: ignore[attr-defined]

    def failure(script: object, error: BaseException) -> object:
        raise error

    adapter._failure = failure  # type: ignore[attr-defined]
    headers = {"Content-Type": how["content_type"]}
    request = adapter.Request("POST", how["url"], headers, sample)  # type: ignore[attr-defined]
    return _shown(adapter.respond(request))  # type: ignore[attr-defined]


def _shown(result: object) -> dict:  # type: ignore[type-arg]
    body = bytes(result.body)  # type: ignore[attr-defined]
    return {
        "status": result.status,  # type: ignore[attr-defined]
        "content_type": result.content_type,  # type: ignore[attr-defined]
        "size": len(body),
        "body": base64.b64encode(body[:_SHOWN_BYTES]).decode(),
        "named": {name: len(one.body) for name, one in result.named.items()},  # type: ignore[attr-defined]
    }


def _set_up(facts: dict) -> None:  # type: ignore[type-arg]
    """The search path of a worker: the app's folders first, the host's last; and its logging."""
    import logging

    root = facts["app_root"]
    os.chdir(root)
    sys.argv[:] = [""]
    sys.dont_write_bytecode = not facts["keeps_bytecode"]
    hosts = {os.path.realpath(folder) for folder in facts["host_folders"]}
    first = [root, *facts["package_folders"]]
    others = [folder for folder in sys.path if folder and os.path.realpath(folder) not in hosts]
    sys.path[:] = [*first, *(folder for folder in others if folder not in first), *facts["host_folders"]]
    _use_packages(facts["package_folders"])
    if facts["site_folders"]:  # of an interpreter that was started without its own
        import site

        for folder in facts["site_folders"]:
            site.addsitedir(folder)
    if not hasattr(builtins, "exit"):
        import site

        site.setquit()
    logging.basicConfig(level="INFO", format="%(message)s")


def _use_packages(folders: list) -> None:  # type: ignore[type-arg]
    """What a worker does: the packages' commands are found, their `.pth` files followed."""
    for folder in folders:
        commands = os.path.join(folder, "bin")  # noqa: PTH118 - as plain as can be
        if os.path.isdir(commands):  # noqa: PTH112
            os.environ["PATH"] = commands + os.pathsep + os.environ.get("PATH", os.defpath)
        if os.path.isdir(folder) and any(name.endswith(".pth") for name in os.listdir(folder)):  # noqa: PTH112, PTH208
            import site

            site.addsitedir(folder)


def _described(error: BaseException) -> dict:  # type: ignore[type-arg]
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be read)"
    found = traceback.TracebackException.from_exception(error)
    _trim(found, set())
    lines = "".join(found.format()).rstrip()
    return {
        "type": type(error).__name__,
        "text": text[:_MOST_CHARACTERS],
        "name": getattr(error, "name", None) if isinstance(error, ImportError) else None,
        "file": str(error.filename) if isinstance(error, OSError) and error.filename else None,
        "is_adapters": type(error).__module__.startswith("fnpack_scoring"),
        "is_setting": isinstance(error, KeyError)
        and found.stack[-1:] != []
        and found.stack[-1].filename in _OS,
        "traceback": lines if len(lines) <= _MOST_CHARACTERS else f"...\n{lines[-_MOST_CHARACTERS:]}",
    }


def _trim(found: traceback.TracebackException, seen: set) -> None:  # type: ignore[type-arg]
    """Leave out the frames of the import machinery, of the adapter and of this module, as the host does."""
    if id(found) in seen:
        return
    seen.add(id(found))
    machinery = ("<frozen importlib", "<string>", os.path.dirname(importlib.__file__))  # noqa: PTH120 - as plain as can be
    kept = [
        frame
        for frame in found.stack
        if not frame.filename.startswith(machinery)
        and f"{os.sep}fnpack_scoring{os.sep}" not in frame.filename
        and frame.filename != globals().get("__file__")
    ]
    found.stack = traceback.StackSummary.from_list(kept)
    for other in (found.__cause__, found.__context__):
        if other is not None:
            _trim(other, seen)


def _end_with_parent() -> None:
    """End with all that the script has started when the parent closes stdin, or dies."""
    alive = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(alive, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
