from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.app.entry_script import EntryScriptError, check_entry_script

GOOD = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"


def script(folder: Path, text: str, name: str = "score.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> tuple[str, str]:
    with pytest.raises(EntryScriptError) as caught:
        check_entry_script(path)
    assert caught.value.hint
    return caught.value.code, str(caught.value)


def test_plain_script_is_sync_and_takes_text(tmp_path: Path) -> None:
    found = check_entry_script(script(tmp_path, GOOD))
    assert (found.is_async, found.wants_raw, found.parameters) == (False, False, ("data",))


def test_async_run_is_seen(tmp_path: Path) -> None:
    assert check_entry_script(script(tmp_path, GOOD.replace("def run", "async def run"))).is_async


@pytest.mark.parametrize(
    ("imported", "decorator"),
    [
        ("from azureml.contrib.services.aml_request import rawhttp", "@rawhttp"),
        ("from azureml.contrib.services.aml_request import rawhttp as raw", "@raw"),
        ("from azureml.contrib.services import aml_request", "@aml_request.rawhttp"),
    ],
)
def test_raw_script_is_seen_under_any_name(tmp_path: Path, imported: str, decorator: str) -> None:
    text = f"{imported}\n\ndef init(): ...\n\n{decorator}\ndef run(request): ...\n"
    assert check_entry_script(script(tmp_path, text)).wants_raw


@pytest.mark.parametrize(
    "text",
    [
        "from helper import init, run\n",
        "import helper\ninit = helper.init\nrun = helper.run\n",
        "from helper import *\n",
        "try:\n    from helper import init, run\nexcept ImportError:\n    raise\n",
        "init, run = make()\n",
        "def init(path='x', *, retries=3): ...\ndef run(data, request_headers): ...\n",
    ],
)
def test_functions_may_be_imported_or_assigned(tmp_path: Path, text: str) -> None:
    check_entry_script(script(tmp_path, text))


def test_user_code_is_never_run(tmp_path: Path) -> None:
    check_entry_script(script(tmp_path, GOOD + "raise SystemExit('ran')\n"))


def test_missing_script_is_named(tmp_path: Path) -> None:
    code, text = refused(tmp_path / "score.py")
    assert code == "FN320"
    assert str(tmp_path / "score.py") in text


def test_folder_is_no_script(tmp_path: Path) -> None:
    (tmp_path / "score.py").mkdir()
    assert refused(tmp_path / "score.py")[0] == "FN320"


def test_script_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "score.py"
    path.write_bytes(b"# one\n# \xe4\n")
    code, text = refused(path)
    assert code == "FN321"
    assert f"{path}:2:" in text


def test_syntax_error_shows_line_and_caret(tmp_path: Path) -> None:
    path = script(tmp_path, "def init():\n    pass\n\ndef run(data)\n    return 1\n")
    code, text = refused(path)
    assert code == "FN322"
    head, line, caret = text.splitlines()
    assert head.startswith(f"{path}:4:14: ")
    assert line == "    4 | def run(data)"
    assert caret.index("^") == line.index(")") + 1


def test_nul_byte_is_a_syntax_error(tmp_path: Path) -> None:
    assert refused(script(tmp_path, "x = 1\0\n"))[0] == "FN322"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "`init` and `run`"),
        ("def init(): ...\n", "no `run`"),
        ("def run(data): ...\n", "no `init`"),
        ("class Model:\n    def init(self): ...\n    def run(self, data): ...\n", "`init` and `run`"),
        ("run: object\ndef init(): ...\n", "no `run`"),
    ],
)
def test_missing_functions_are_named(tmp_path: Path, text: str, named: str) -> None:
    code, message = refused(script(tmp_path, text))
    assert code == "FN323"
    assert named in message


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("run()", "no parameter"),
        ("run(request_headers)", "no parameter"),
        ("run(data, /)", "positional-only"),
        ("run(*data)", "`*data`"),
        ("run(data, **rest)", "`**rest`"),
    ],
)
def test_run_that_no_call_can_fill_is_refused(tmp_path: Path, signature: str, reason: str) -> None:
    path = script(tmp_path, f"def init(): ...\n\ndef {signature}: ...\n")
    code, text = refused(path)
    assert code == "FN324"
    assert text.startswith(f"{path}:3: ")
    assert reason in text


@pytest.mark.parametrize("init", ["def init(path)", "def init(*, path)", "async def init()"])
def test_init_is_called_without_arguments_and_without_a_loop(tmp_path: Path, init: str) -> None:
    assert refused(script(tmp_path, f"{init}: ...\n\ndef run(data): ...\n"))[0] == "FN325"


@pytest.mark.parametrize(
    "name", ["my-score.py", "1score.py", "class.py", "json.py", "fnpack_scoring.py", "score.txt"]
)
def test_name_must_be_importable_and_free(tmp_path: Path, name: str) -> None:
    code, text = refused(script(tmp_path, GOOD, name))
    assert code == "FN326"
    assert name in text
