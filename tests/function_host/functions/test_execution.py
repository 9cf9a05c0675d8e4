"""How functions run: threads, the loop, several workers, crashes, time-outs, and whose log line is whose."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

HTTP = """{"bindings": [
    {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
    {"type": "http", "direction": "out", "name": "$return"}
]}"""
MOST = """
    import {module}, threading, time
    running = most = 0
    lock = threading.Lock()
    {define} main(req):
        global running, most
        with lock:
            running += 1
            most = max(most, running)
        {sleep}
        with lock:
            running -= 1
        return str(most)
"""
SYNC = MOST.format(module="time", define="def", sleep="time.sleep(0.4)")
ASYNC = MOST.format(module="asyncio", define="async def", sleep="await asyncio.sleep(0.4)")


def at_once(host, path, count, body=b"x"):
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: host.call(path, body)[:2], range(count)))


@pytest.fixture(scope="module")
def host(host_of):
    return host_of(
        {
            "sync/function.json": HTTP,
            "sync/__init__.py": SYNC,
            "async/function.json": HTTP,
            "async/__init__.py": ASYNC,
            "talk/function.json": HTTP,
            "talk/__init__.py": """
                import logging, threading, time
                def main(req, context):
                    word = req.get_body().decode()
                    print("printed", word)
                    time.sleep(0.2)
                    logging.warning("logged %s", word)
                    def beside():
                        context.thread_local_storage.invocation_id = context.invocation_id
                        logging.info("beside %s", word)
                    thread = threading.Thread(target=beside)
                    thread.start()
                    thread.join()
                    return context.invocation_id
            """,
            "crash/function.json": HTTP,
            "crash/__init__.py": "import os\ndef main(req): os._exit(7)\n",
        }
    )


@pytest.mark.parametrize("name", ["sync", "async"])
def test_calls_overlap(host, name):
    answers = at_once(host, f"/api/{name}", 12)
    assert max(int(body) for _, body in answers) == 12


def test_log_lines_carry_their_own_invocation(host):
    def talk(word):
        return word, host.call("/api/talk", word.encode())[1].decode()

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(talk, ["alpha", "beta", "gamma", "delta"]))
    for word, invocation in answers:
        host.wait_log(f"beside {word}")
        for said in ("printed", "logged"):
            assert f"[talk {invocation[:8]}] {said} {word}" in host.log
        assert f"[{invocation[:8]}] beside {word}" in host.log


def test_crash_fails_what_its_worker_ran_and_nothing_later(host):
    with ThreadPoolExecutor(2) as threads:
        beside = threads.submit(host.call, "/api/sync", b"x")
        time.sleep(0.15)
        assert host.call("/api/crash", b"x")[:2] == (500, b"")
        assert beside.result()[0] == 500
    assert host.call("/api/sync", b"x")[:2] == (200, b"1")


def test_call_is_answered_when_a_later_worker_cannot_load_its_function(app_of, start_host):
    once = """
        import os
        if os.path.exists("loaded"): raise RuntimeError("only once")
        open("loaded", "w").close()
        def main(req): os._exit(3)
    """
    files = {"once/function.json": HTTP, "once/__init__.py": once}
    host = start_host(
        app_of({**files, "f/function.json": HTTP, "f/__init__.py": "def main(req): return 'f'\n"})
    )
    assert host.call("/api/once", b"x")[0] == 500
    assert host.call("/api/f", b"x")[:2] == (200, b"f")
    assert host.call("/api/once", b"x")[:2] == (500, b"")
    host.wait_log("could not be loaded: RuntimeError: only once")


def test_context_variables_of_a_call_are_its_own(app_of, start_host):
    script = """
        from contextvars import ContextVar
        seen = ContextVar("seen", default="nothing")
        def main(req):
            before = seen.get()
            seen.set("something")
            return before
    """
    host = start_host(app_of({"f/function.json": HTTP, "f/__init__.py": script}))
    assert [host.call("/api/f", b"x")[1] for _ in range(4)] == [b"nothing"] * 4


def test_threads_are_as_many_as_the_setting_says(app_of, start_host):
    host = start_host(
        app_of({"f/function.json": HTTP, "f/__init__.py": SYNC}),
        settings={"PYTHON_THREADPOOL_THREAD_COUNT": "2"},
    )
    assert {int(body) for _, body in at_once(host, "/api/f", 5)} <= {1, 2}


def test_workers_share_the_calls_and_each_loads_the_app(app_of, start_host):
    script = "import os, time\ndef main(req):\n    time.sleep(0.3)\n    return str(os.getpid())\n"
    host = start_host(
        app_of({"f/function.json": HTTP, "f/__init__.py": script}),
        settings={"FUNCTIONS_WORKER_PROCESS_COUNT": "2"},
    )
    assert len({body for _, body in at_once(host, "/api/f", 6)}) == 2


def test_call_over_function_timeout_is_500_and_its_worker_is_replaced(app_of, start_host):
    script = "import time\ndef main(req):\n    while req.get_body() == b'hang': time.sleep(0.1)\n    return 'fine'\n"
    host = start_host(
        app_of({"f/function.json": HTTP, "f/__init__.py": script}),
        settings={"AzureFunctionsJobHost__functionTimeout": "00:00:01"},
    )
    assert host.call("/api/f", b"hang")[0] == 500
    assert host.call("/api/f", b"x")[:2] == (200, b"fine")
    assert "ran longer than functionTimeout (1 s)" in host.log


def test_sigterm_finishes_running_calls_and_exits_0(app_of, start_host):
    script = "import time\ndef main(req):\n    time.sleep(1)\n    return 'done'\n"
    host = start_host(app_of({"f/function.json": HTTP, "f/__init__.py": script}))
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(host.call, "/api/f", b"x") for _ in range(2)]
        time.sleep(0.3)
        assert host.stop() == 0
        assert [answer.result()[:2] for answer in answers] == [(200, b"done")] * 2


def test_scoring_function_and_another_share_a_worker(scoring_app, start_host):
    app = scoring_app("import os\ndef init(): pass\ndef run(data): return [data, os.getpid()]\n")
    (app / "plain").mkdir()
    (app / "plain" / "function.json").write_text(HTTP)
    (app / "plain" / "__init__.py").write_text(
        "import os, time\ndef main(req):\n    time.sleep(0.3)\n    return str(os.getpid())\n"
    )
    host = start_host(app)
    with ThreadPoolExecutor(4) as threads:
        plain = threads.submit(host.call, "/api/plain", b"x")
        scores = list(threads.map(lambda n: json.loads(host.call("/api/score", b"%d" % n)[1]), range(3)))
    pid = int(plain.result()[1])
    assert scores == [[str(n), pid] for n in range(3)]


def test_failing_entry_script_leaves_other_functions_running(scoring_app, start_host):
    app = scoring_app("def init(): raise RuntimeError('no weights')\ndef run(data): return 1\n")
    (app / "plain").mkdir()
    (app / "plain" / "function.json").write_text(HTTP)
    (app / "plain" / "__init__.py").write_text("def main(req): return 'well'\n")
    host = start_host(app)
    assert host.call("/api/plain", b"x")[:2] == (200, b"well")
    assert host.call("/api/score", b"x")[:2] == (500, b"")
    assert re.search(r"function score cannot run: RuntimeError: no weights", host.log)
