from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.config.options import OPTIONS
from fnpack.config.project import ProjectSettings, merge, parse_toml, read_project
from fnpack.errors import ConfigurationError, ConfigurationSyntaxError

FULL = """
entry_script = "score.py"
source_directory = "src"
model = ["a=a.pkl", "b.pkl"]
inference_config = "inferenceconfig.json"
requirements = "requirements.txt"
trigger = ["http", "blob"]
input_path = "input/{blobname}.json"
output_path = "output/{blobname}_out.json"
input_queue = "in"
output_queue = "out"
input_topic = "t"
input_subscription = "s"
output_topic = "u"
extra_output = ["alerts=queue:alerts"]
auth_level = "anonymous"
connection = "Storage"
service_bus_connection = "Bus"
host = "fnpack"
base_image = "base"
platform = "linux/amd64"
python_version = "3.11"
tag = "x:1"
builder = "oci"
output = "engine"
sbom = "none"
insecure_registry = ["registry.example"]
check = false
sample = "sample.json"
check_timeout = 60
push = true
identity = true
"""


def write(folder: Path, text: str, name: str = "fnpack.toml") -> Path:
    (folder / name).write_text(text)
    return folder


def fault(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_project(folder)
    return str(caught.value)


def test_own_file_may_hold_every_option(folder: Path) -> None:
    project = read_project(write(folder, FULL))
    assert project.file == folder / "fnpack.toml"
    assert set(project.values) == set(OPTIONS)
    assert project.values["model"].value == ("a=a.pkl", "b.pkl")
    assert project.values["push"].value is True
    assert project.values["trigger"].source == "fnpack.toml: trigger"
    assert project.values["trigger"].folder == folder


def test_shared_file_holds_the_same_keys_in_its_table(folder: Path) -> None:
    project = read_project(write(folder, '[project]\nname = "x"\n[tool.fnpack]\n' + FULL, "pyproject.toml"))
    assert set(project.values) == set(OPTIONS)
    assert project.values["trigger"].source == "pyproject.toml: tool.fnpack.trigger"


@pytest.mark.parametrize("name", ["fnpack.toml", "pyproject.toml", "other.toml"])
def test_folder_without_settings_is_an_empty_project(folder: Path, name: str) -> None:
    assert read_project(write(folder, "", name)).values == {}


def test_single_text_stands_for_a_list_of_one(folder: Path) -> None:
    values = read_project(write(folder, 'trigger = "blob"\nmodel = "a.pkl"')).values
    assert (values["trigger"].value, values["model"].value) == (("blob",), ("a.pkl",))


def test_models_may_be_a_table(folder: Path) -> None:
    values = read_project(write(folder, '[model]\na = "x/a.pkl"\nb = "b"')).values
    assert values["model"].value == ("a=x/a.pkl", "b=b")


def test_all_problems_of_a_file_are_reported_at_once(folder: Path) -> None:
    text = 'triger = "blob"\npush = "yes"\npython_version = 3.10\ninput-path = "x"\ntag = 1\nmodel = [1]\nhost = " "'
    assert fault(write(folder, text)).splitlines() == [
        "fnpack.toml: triger: unknown key; did you mean `trigger`?",
        "fnpack.toml: input-path: unknown key; write `input_path`",
        "fnpack.toml: model[0]: must be a text, not a number",
        "fnpack.toml: host: the text is empty; give a value, or leave the key out",
        'fnpack.toml: python_version: this is a number, and 3.10 would be 3.1; write it in quotes, as in "3.10"',
        "fnpack.toml: tag: must be a text, not a number",
        "fnpack.toml: push: must be true or false, not a text",
    ]


def test_settings_in_both_files_are_refused(folder: Path) -> None:
    write(folder, 'tag = "x"')
    write(folder, "[tool.fnpack]\n", "pyproject.toml")
    assert fault(folder) == (
        "fnpack.toml: fnpack.toml and [tool.fnpack] in pyproject.toml both hold settings; keep one of them"
    )


def test_table_of_the_shared_file_in_the_own_file_is_explained(folder: Path) -> None:
    assert "the keys stand at the top" in fault(write(folder, '[tool.fnpack]\ntag = "x"'))


def test_setting_that_should_be_a_table_is_named(folder: Path) -> None:
    assert fault(write(folder, "[tool]\nfnpack = 1", "pyproject.toml")) == (
        "pyproject.toml: tool.fnpack: must be a table; write `[tool.fnpack]`"
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('tag = "x"\npush = yes\n', "fnpack.toml: line 2, column 8"),
        ('tag = "x"\ntag = "y"\n', "fnpack.toml: line 2"),
        ("tag = [1,\n", "fnpack.toml: line 1"),
        ("tag\n", "fnpack.toml: line 1, column 4"),
        ('a = 1\r\ntag = "x\r\n', "fnpack.toml: line 2"),
    ],
)
def test_toml_fault_is_shown_with_line_and_column(folder: Path, text: str, where: str) -> None:
    (folder / "fnpack.toml").write_bytes(text.encode())
    with pytest.raises(ConfigurationSyntaxError) as caught:
        read_project(folder)
    (problem,) = caught.value.problems
    assert problem.where.startswith(where)
    assert problem.what.startswith("not valid TOML: ")
    assert problem.excerpt[1].endswith("^")


@given(
    st.one_of(st.text(), st.lists(st.sampled_from([*list("a=[]{}\"'.\n\r #1,"), "tag", "push"])).map("".join))
)
def test_any_text_is_a_table_or_a_syntax_error(text: str) -> None:
    with suppress(ConfigurationSyntaxError):
        assert isinstance(parse_toml(text, "f.toml"), dict)


def test_flag_wins_over_variable_and_variable_over_file(folder: Path) -> None:
    project = read_project(write(folder, 'tag = "file"\nhost = "file"\nplatform = "file"'))
    environ = {"FNPACK_TAG": "variable", "FNPACK_HOST": "variable"}
    raw = merge(project, environ, {"tag": "flag", "host": None, "trigger": ()}, cwd=folder / "elsewhere")
    found = {name: (setting.value, setting.source) for name, setting in raw.values.items()}
    assert found == {
        "host": ("variable", "FNPACK_HOST"),
        "platform": ("file", "fnpack.toml: platform"),
        "tag": ("flag", "--tag"),
    }
    assert [setting.folder.name for setting in raw.values.values()] == ["elsewhere", folder.name, "elsewhere"]


def test_repeatable_variable_is_parted_by_commas_and_replaces_the_file(folder: Path) -> None:
    project = read_project(write(folder, 'trigger = ["service_bus_queue"]'))
    raw = merge(project, {"FNPACK_TRIGGER": "http, blob,"}, {}, cwd=folder)
    assert raw.values["trigger"].value == ("http", "blob")


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("True", True), ("on", True), ("0", False), ("no", False)]
)
def test_switch_variable_is_on_or_off(folder: Path, text: str, value: bool) -> None:
    assert merge(ProjectSettings(), {"FNPACK_PUSH": text}, {}, cwd=folder).values["push"].value is value


def test_switch_variable_of_another_value_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="FNPACK_PUSH: must be on or off; did you mean `true`"):
        merge(ProjectSettings(), {"FNPACK_PUSH": "ture"}, {}, cwd=folder)


def test_switch_flag_can_turn_off_what_the_file_turns_on(folder: Path) -> None:
    raw = merge(read_project(write(folder, "push = true")), {}, {"push": False}, cwd=folder)
    assert raw.values["push"].value is False


def test_empty_variable_counts_as_not_given(folder: Path) -> None:
    assert merge(ProjectSettings(), {"FNPACK_TAG": " ", "FNPACK_TRIGGER": ","}, {}, cwd=folder).values == {}
