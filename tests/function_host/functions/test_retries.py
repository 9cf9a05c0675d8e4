"""Retry policies through the real host: v1 and v2 timers, what `context` tells, the stop, and who follows none."""

import json
import re
import time

STORAGE = "AzureWebJobsStorage"
V1 = """
    import logging
    def main(timer, context):
        retry = context.retry_context
        logging.info("run %d of %d after <%s>", retry.retry_count, retry.max_retry_count, retry.exception.message)
        if retry.retry_count < 2: raise ValueError(f"failure {retry.retry_count}")
"""
V2 = """
    import logging
    import azure.functions as func
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
    @app.retry(strategy="exponential_backoff", max_retry_count="2", minimum_interval="00:00:00",
               maximum_interval="00:00:01")
    def grow(timer: func.TimerRequest, context: func.Context) -> None:
        logging.info("grow %d of %d", context.retry_context.retry_count, context.retry_context.max_retry_count)
        raise ValueError("never well")

    @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
    @app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="soon")
    def wrong(timer: func.TimerRequest) -> None: ...
"""


def timer(**retry):
    trigger = {
        "type": "timerTrigger",
        "direction": "in",
        "name": "timer",
        "schedule": "0 0 0 1 1 *",
        "runOnStartup": True,
    }
    return json.dumps({"bindings": [trigger], **({"retry": retry} if retry else {})})


def fixed(count, wait):
    return {"strategy": "fixedDelay", "maxRetryCount": count, "delayInterval": wait}


def test_failed_timer_is_repeated_until_it_succeeds_and_knows_why(app_of, start_host, azurite):
    app = app_of({"f/function.json": timer(**fixed(5, "00:00:00")), "f/__init__.py": V1})
    host = start_host(app, settings={STORAGE: azurite.connection_string})
    host.wait_log("run 2 of 5")
    said = re.findall(r"run .*", host.log)
    assert said == [
        "run 0 of 5 after <>",
        "run 1 of 5 after <ValueError: failure 0>",
        "run 2 of 5 after <ValueError: failure 1>",
    ]
    assert len(set(re.findall(r"\[f (\w{8})\] run", host.log))) == 3  # each is an invocation of its own
    assert host.stop() == 0


def test_policy_of_host_json_counts_and_its_end_is_the_end(app_of, start_host, azurite):
    files = {
        "f/function.json": timer(),
        "f/__init__.py": "def main(timer): raise ValueError('never well')\n",
        "host.json": json.dumps({"version": "2.0", "retry": fixed(2, "00:00:00.05")}),
    }
    host = start_host(app_of(files), settings={STORAGE: azurite.connection_string})
    host.wait_log("(attempt 3) failed")
    assert host.stop() == 0
    assert len(re.findall(r"failed after", host.log)) == 3


def test_decorated_function_is_repeated_and_a_wrong_policy_is_its_error(app_of, start_host, azurite):
    host = start_host(app_of({"function_app.py": V2}), settings={STORAGE: azurite.connection_string})
    host.wait_log("grow 2 of 2")
    assert "function wrong cannot run: retry.delayInterval is 'soon', but must be a time span" in host.log
    assert host.stop() == 0
    assert re.findall(r"grow (\d) of", host.log) == ["0", "1", "2"]


def test_stop_interrupts_a_wait_for_the_next_try(app_of, start_host, azurite):
    app = app_of({"f/function.json": timer(**fixed(-1, "01:00:00")), "f/__init__.py": V1})
    host = start_host(app, settings={STORAGE: azurite.connection_string})
    host.wait_log("failed after")
    assert "run 0 of -1 after <>" in host.log
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began < 10
    assert "function f: its retry is given up" in host.log


def test_drain_interrupts_a_wait_and_http_goes_on(app_of, start_host, azurite):
    app = app_of({"f/function.json": timer(**fixed(-1, "01:00:00")), "f/__init__.py": V1})
    host = start_host(app, settings={STORAGE: azurite.connection_string})
    host.wait_log("failed after")
    assert host.call("/admin/host/drain", b"")[0] == 202
    host.wait_log("its retry is given up")
    assert host.call("/admin/host/ping", None)[0] == 200


def test_other_triggers_follow_no_policy_and_say_so_once(app_of, start_host):
    http = {
        "bindings": [
            {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
            {"type": "http", "direction": "out", "name": "$return"},
        ],
        "retry": fixed(3, "00:00:00"),
    }
    calls = (
        "seen = []\ndef main(req):\n    seen.append(1)\n    print('call', len(seen))\n    raise ValueError\n"
    )
    host = start_host(
        app_of(
            {
                "f/function.json": json.dumps(http),
                "f/__init__.py": calls,
                "host.json": json.dumps({"version": "2.0", "retry": fixed(3, "00:00:00")}),
            }
        )
    )
    assert host.call("/api/f", b"x")[0] == 500
    host.wait_log("call 1")
    assert host.stop() == 0
    assert "call 2" not in host.log
    assert host.log.count("function f: its retry policy is ignored: a httptrigger") == 1
    assert host.log.count("host.json: retry is ignored: only timer functions follow it") == 1
