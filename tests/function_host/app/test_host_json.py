import pytest

from fnpack_host.app.host_json import HostJson
from fnpack_host.errors import HostJsonError


def test_keys_compare_without_case_and_overrides_win():
    host_json = HostJson({"version": "2.0", "Extensions": {"HTTP": {"routePrefix": "x"}}})
    assert host_json.text("extensions.http.routeprefix", "api") == "x"
    assert host_json.text("extensions.http.other", "default") == "default"


def test_environment_overrides_the_file(tmp_path):
    (tmp_path / "host.json").write_text(
        '{"version": "2.0", "extensions": {"blobs": {"poisonBlobThreshold": 3}}}'
    )
    host_json = HostJson.load(tmp_path, {"extensions__blobs__poisonBlobThreshold": "7"})
    assert host_json.integer("extensions.blobs.poisonBlobThreshold", 5, 1) == 7


@pytest.mark.parametrize("version", ["1.0", 2.0, None])
def test_other_versions_are_refused(tmp_path, version):
    import json

    (tmp_path / "host.json").write_text(json.dumps({"version": version}))
    with pytest.raises(HostJsonError, match=r'must be "2\.0"'):
        HostJson.load(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:05:00", 300), ("00:00:01.5", 1.5), ("1.00:00:00", 86400), ("-1", None), ("01:00", 3600)],
)
def test_time_spans(text, seconds):
    assert HostJson({"functionTimeout": text}).seconds("functionTimeout", 9) == seconds


@pytest.mark.parametrize("value", ["soon", "5", 300, ["00:05:00"]])
def test_bad_time_span_names_key_and_value(value):
    with pytest.raises(HostJsonError, match="functionTimeout is .* but must be a time span"):
        HostJson({"functionTimeout": value}).seconds("functionTimeout", None)


@pytest.mark.parametrize("value", [0, 33, "x", True, 1.5, None])
def test_bad_whole_number_names_the_range(value):
    with pytest.raises(HostJsonError, match="must be a whole number from 1 to 32"):
        HostJson({"n": value}).integer("n", 16, 1, 32)


def load(tmp_path, text, overrides=None):
    (tmp_path / "host.json").write_text(text)
    return HostJson.load(tmp_path, overrides or {})


def test_all_wrong_values_are_named_at_once_when_the_app_is_loaded(tmp_path):
    text = """{"version": "2.0", "functionTimeout": "00:00:00", "functions": "all",
        "extensions": {"http": {"maxConcurrentRequests": -2, "customHeaders": {"X Y": "1", "X-Z": "a\\nb"}},
                       "queues": {"batchSize": 33, "messageEncoding": "utf8"},
                       "serviceBus": {"maxBatchWaitTime": "00:02:31", "minMessageBatchSize": 2000}},
        "logging": {"logLevel": {"default": "Verbose"}}, "healthMonitor": {"counterThreshold": 2},
        "singleton": {"lockPeriod": "00:00:10"}}"""
    with pytest.raises(HostJsonError) as caught:
        load(tmp_path, text)
    said = [line.removeprefix(f"{tmp_path}/host.json: ") for line in str(caught.value).splitlines()]
    assert said == [
        "functionTimeout is '00:00:00', but must be a time span such as 00:05:00 from 00:00:01, or -1 for no bound",
        "functions is 'all', but must be a list of strings",
        "extensions.http.maxConcurrentRequests is -2, but must be a whole number from -1 to 2147483647",
        "extensions.http.customHeaders.X Y is not the name of a header",
        "extensions.http.customHeaders.X-Z is 'a\\nb', but must be one line of Latin-1 text",
        "extensions.queues.batchSize is 33, but must be a whole number from 1 to 32",
        "extensions.queues.messageEncoding is 'utf8', but must be one of base64, none",
        "extensions.serviceBus.maxBatchWaitTime is '00:02:31', but must be a time span such as 00:05:00 to 00:02:30",
        "logging.logLevel.default is 'Verbose', but must be one of Trace, Debug, Information, Warning, Error, "
        "Critical, None",
        "healthMonitor.counterThreshold is 2, but must be a number from 0 to 1",
        "singleton.lockPeriod is '00:00:10', but must be a time span such as 00:05:00 from 00:00:15 to 00:01:00",
        "extensions.serviceBus.minMessageBatchSize is 2000, but must be at most maxMessageBatchSize (1000)",
    ]


def test_overrides_are_checked_and_fill_lists(tmp_path):
    text = '{"version": "2.0", "functions": ["a", "b"]}'
    overrides = {
        "functions__1": "c",
        "extensions__http__hsts__isEnabled": "True",
        "logging__logLevel__Function.f": "debug",
    }
    host_json = load(tmp_path, text, overrides)
    assert host_json.strings("functions") == ("a", "c")
    assert host_json.flag("extensions.http.hsts.isEnabled", False) is True
    assert host_json.texts("logging.logLevel") == {"Function.f": "debug"}
    with pytest.raises(HostJsonError, match=r"extensions\.http\.routePrefix|aggregator\.batchSize is 'x'"):
        load(tmp_path, text, {"aggregator__batchSize": "x"})


def test_keys_without_meaning_and_unknown_keys_give_a_debug_line_each(tmp_path, caplog):
    caplog.set_level("DEBUG")
    load(
        tmp_path,
        """{"version": "2.0", "extensions": {"http": {"dynamicThrottlesEnabled": true, "maxOutstandingRequest": 1},
            "durableTask": {"hubName": "h"}}, "healthMonitor": {}, "customHandler": {"description": {"a": 1}},
            "watchDirectories": ["Shared"], "mine": 1, "$schema": "x"}""",
    )
    lines = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert lines == [
        "extensions.http.dynamicThrottlesEnabled has no meaning here: throttles by counters of Azure's sandbox",
        "extensions.http.maxOutstandingRequest is not known here and ignored; did you mean "
        "extensions.http.maxOutstandingRequests?",
        "extensions.durableTask.hubName is not known here and ignored",
        "customHandler.description.a has no meaning here: this host runs Python functions",
        "watchDirectories has no meaning here: files are not watched",
        "mine is not known here and ignored",
        "$schema is not known here and ignored",
    ]


def test_every_key_accepts_a_value_of_its_range_and_names_it_otherwise(tmp_path):
    from fnpack_host.app.host_json_keys import KEYS

    good = {"text": "x", "whole number": 16, "number": 0.5, "true or false": True, "time span": "00:00:30"}
    policy = {"retry.strategy": "exponentialBackoff", "retry.maxRetryCount": 1}
    policy |= {"retry.minimumInterval": "00:00:01", "retry.maximumInterval": "00:01:00"}
    for key in KEYS:
        path = key.path.replace("*", "x")
        value = key.choices[-1] if key.choices else good.get(key.kind, ["x"])
        HostJson({**(policy if path.startswith("retry.") else {}), path: value}).check()
        if key.kind != "anything":
            with pytest.raises(HostJsonError, match="must be"):
                HostJson({path: {"x": 1} if key.path.endswith("*") else [1]}).check()
        assert key.meaning
        assert key.allowed


@pytest.mark.parametrize(
    "text", ["24:00:00", "00:60:00", "1:2:3", "00:00:00:00", "\u0660\u0660:\u0660\u0660:\u0660\u0661"]
)
def test_time_span_that_dotnet_refuses_is_refused(text):
    with pytest.raises(HostJsonError):
        HostJson({"functionTimeout": text}).seconds("functionTimeout", None)
