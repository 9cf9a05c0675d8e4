import logging

import pytest

from fnpack_host.app.host_json import HostJson
from fnpack_host.logs import INVOCATIONS, LogLevels, levels_of


@pytest.mark.parametrize(
    ("category", "level"),
    [
        ("Host.Startup", logging.WARNING),
        ("Host.Results", logging.ERROR),
        ("Function.score", logging.DEBUG),
        ("Function.score.User", logging.DEBUG),
        ("Function.scorer", logging.ERROR),
        ("Function", logging.ERROR),
        ("Other", logging.CRITICAL + 10),
    ],
)
def test_longest_category_counts(category, level):
    levels = {
        "default": "None",
        "Host": "warning",
        "Host.Results": "Error",
        "function": "Error",
        "Function.Score": "Debug",
    }
    assert LogLevels(levels).of(category) == level


@pytest.mark.parametrize(
    ("function_level", "python_level"), [("Trace", "DEBUG"), ("Information", "INFO"), ("None", "CRITICAL")]
)
def test_worker_gets_the_level_of_functions(function_level, python_level):
    host_json = HostJson({"logging": {"logLevel": {"Function": function_level}}})
    assert levels_of(host_json).worker_level == python_level


def test_invocation_lines_follow_their_functions_level(caplog):
    LogLevels({"Function": "Warning", "Function.loud": "Information"}).apply()
    try:
        log = logging.getLogger(INVOCATIONS)
        log.info("%s done", "quiet")
        log.info("%s done", "loud")
        log.error("%s failed", "quiet")
        assert [record.getMessage() for record in caplog.records] == ["loud done", "quiet failed"]
    finally:
        LogLevels({}).apply()
    assert logging.getLogger(INVOCATIONS).filters == []


def test_levels_of_host_json_reach_host_and_functions(scoring_app, start_host):
    host = start_host(
        scoring_app(
            "import logging\ndef init(): pass\ndef run(data):\n    logging.info('quiet')\n    logging.warning('loud')\n"
        ),
        settings={"AzureFunctionsJobHost__logging__logLevel__Function": "Warning"},
    )
    assert host.call("/api/score", b"x")[0] == 200
    host.wait_log("loud")
    assert "quiet" not in host.log
    assert "POST request" not in host.log
