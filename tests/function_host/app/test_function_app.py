import json

import pytest

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.errors import AppDirectoryError
from fnpack_host.settings import Settings

HTTP = [
    {"type": "httpTrigger", "name": "req", "direction": "in"},
    {"type": "http", "name": "$return", "direction": "out"},
]


@pytest.fixture
def app_of(tmp_path):
    def write(functions, settings=None, host=None):
        (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", **(host or {})}))
        for name, content in functions.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "__init__.py").write_text("")
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name / "function.json").write_text(text)
        return FunctionApp.load(tmp_path, Settings(settings or {}))

    return write


def test_one_broken_function_does_not_stop_the_others(app_of):
    app = app_of({"good": {"bindings": HTTP}, "bad": "{ nonsense", "worse": {"bindings": []}})
    errors = {function.name: function.error for function in app.functions}
    assert errors["good"] is None
    assert "function.json, line 1" in errors["bad"]
    assert "at least one entry" in errors["worse"]


@pytest.mark.parametrize(
    ("bindings", "says"),
    [
        (HTTP + HTTP[:1], "two bindings are named `req`"),
        ([HTTP[0], {**HTTP[0], "name": "other"}], "2 triggers"),
        (HTTP[1:], "0 triggers"),
        ([{**HTTP[0], "name": "a b"}], r"bindings\[0\].name `a b` is not allowed"),
        ([{"type": "httpTrigger"}], r"bindings\[0\].name is missing"),
        ([{**HTTP[0], "direction": "inout"}], "direction is 'inout'"),
        ([HTTP[0], {**HTTP[1], "direction": "in"}], "an http binding is an output"),
        (["x"], r"bindings\[0\] must be an object"),
    ],
)
def test_wrong_bindings_say_which(app_of, bindings, says):
    (function,) = app_of({"f": {"bindings": bindings}}).functions
    import re

    assert re.search(says, function.error)


def test_function_names_follow_azures_rule(app_of):
    app = app_of({"1st": {"bindings": HTTP}, "ok-1": {"bindings": HTTP}, "host": {"bindings": HTTP}})
    assert {f.name for f in app.functions if f.error is None} == {"ok-1"}


def test_keys_and_types_compare_without_case(app_of):
    (function,) = app_of(
        {"f": {"Bindings": [{"Type": "HTTPTRIGGER", "Name": "req", "AuthLevel": "anonymous"}]}}
    ).functions
    assert function.trigger.type == "httptrigger"
    assert function.trigger.text("authLevel") == "anonymous"


def test_disabled_by_setting_and_by_allow_list(app_of):
    app = app_of({"a": {"bindings": HTTP}, "b": {"bindings": HTTP}}, {"AzureWebJobs.a.Disabled": "true"})
    assert [(f.name, f.is_runnable) for f in app.functions] == [("a", False), ("b", True)]
    assert not app_of({}, {"AzureWebJobs_a_Disabled": "1"}).functions[0].is_runnable
    assert [f.name for f in app_of({}, host={"functions": ["B"]}).functions] == ["b"]


def test_host_id_depends_on_bindings_and_not_on_scripts(app_of):
    first = app_of({"f": {"bindings": HTTP}})
    (first.root / "f" / "__init__.py").write_text("# edited")
    assert app_of({}).host_id == first.host_id
    other = app_of({"f": {"bindings": [{**HTTP[0], "route": "x"}]}})
    assert other.host_id != first.host_id
    assert app_of({}, {"AzureFunctionsWebHost__hostid": "mine"}).host_id == "mine"


def test_script_file_must_exist(app_of):
    (function,) = app_of({"f": {"bindings": HTTP, "scriptFile": "nothing.py"}}).functions
    assert "scriptFile nothing.py does not exist" in function.error


def test_folder_without_functions_says_what_to_give(tmp_path):
    with pytest.raises(AppDirectoryError) as caught:
        FunctionApp.load(tmp_path, Settings({}))
    assert "no function" in str(caught.value)
    assert "--app-only" in caught.value.hint


def test_local_settings_stand_behind_the_environment(tmp_path):
    (tmp_path / "local.settings.json").write_text(
        '{"Values": {"A": "file", "B": "file"}, /* c */ "ConnectionStrings": {"C": "x"}}'
    )
    settings = Settings.load(tmp_path, {"B": "env"})
    assert (settings["a"], settings["B"], settings["ConnectionStrings:C"]) == ("file", "env", "x")
    assert "file" not in repr(settings)
