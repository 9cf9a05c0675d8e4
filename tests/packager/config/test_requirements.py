from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement

from fnpack.config.requirements import read_requirements, without_server
from fnpack.errors import ConfigurationError


def read(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "requirements.txt").write_text(text, encoding="utf-8")
    return read_requirements(Path("requirements.txt")).requirements


def fault(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text)
    return str(caught.value)


def test_comments_continuations_and_hashes_are_taken_out(folder: Path) -> None:
    text = (
        "\ufeff# all of it\n\nnumpy==1.26.4 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "scikit-learn>=1.5,<2  # newer\n# not \\\nrequests[socks]; python_version < '3.13'\n"
        "--require-hashes\nmine @ https://example.com/mine.whl#sha256=00\nlast \\"
    )
    assert read(folder, text) == (
        "numpy==1.26.4",
        "scikit-learn>=1.5,<2",
        "requests[socks]; python_version < '3.13'",
        "mine @ https://example.com/mine.whl#sha256=00",
        "last",
    )


@pytest.mark.parametrize(
    "line", ["-r more/a.txt", "--requirement more/a.txt", "--requirement=more/a.txt", "-rmore/a.txt"]
)
def test_included_file_is_relative_to_its_own_file(folder: Path, line: str) -> None:
    (folder / "more").mkdir()
    (folder / "more/a.txt").write_text("a\n-r b.txt\n")
    (folder / "more/b.txt").write_text("b\n")
    assert read(folder, f"x\n{line}\ny\n") == ("x", "a", "b", "y")


def test_circle_of_includes_ends(folder: Path) -> None:
    (folder / "a.txt").write_text("a\n-r requirements.txt\n")
    assert read(folder, "-r a.txt\nb\n") == ("a", "b")


def test_every_bad_line_is_reported_with_file_and_line(folder: Path) -> None:
    (folder / "a.txt").write_text("\nnumpy=1.2\n")
    text = "x \\\n  ==1\n==2\n-r a.txt\n-r mising.txt\n"
    (folder / "missing.txt").touch()
    lines = fault(folder, text).splitlines()
    assert lines[0].startswith("requirements.txt:3: `==2` is not a requirement")
    assert lines[1].startswith("a.txt:2: `numpy=1.2` is not a requirement")
    assert lines[1].endswith("write `numpy==1.2`")
    assert lines[2] == "mising.txt: there is no such file; did you mean `missing.txt`?"


@pytest.mark.parametrize(
    ("line", "what", "suggestion"),
    [
        ("--index-url https://example.com/simple", "`--index-url`: the address of an index", "PIP_INDEX_URL"),
        ("-i https://example.com/simple", "`--index-url`: the address of an index", "PIP_INDEX_URL"),
        ("--extra-index-url=https://example.com", "`--extra-index-url`: the address", "stays out of images"),
        ("--find-links ./wheels", "`--find-links`", "pip's or uv's own configuration"),
        ("--trusted-host example.com", "`--trusted-host`", "pip's or uv's own configuration"),
        ("-e .", "`--editable`: an editable install points into this machine", "write `./folder`"),
        ("--pre", "`--pre`", "package>=2.0rc1"),
        ("--only-binary :all:", "`--only-binary`: this is an option of the installer", "remove"),
        ("--index-ur x", "unknown option `--index-ur`", "did you mean `--index-url`?"),
        ("-z", "unknown option `-z`", ""),
        ("-r", "the name of a file is missing", "-r other"),
        ("-r https://example.com/r.txt", "a file from an address is not read", "beside"),
        ("./mine", "`./mine`: there is no file or folder mine", ""),
        ("../mine[x]", "`../mine[x]`: there is no file or folder", ""),
        ("dist/mine-1.0-py3-none-any.whl", "there is no file or folder dist/mine-1.0", "does not exist"),
        ("mine @ file:///home/me/mine.whl", "there is no file or folder /home/me/mine.whl", ""),
        ("C:\\mine", "there is no file or folder", ""),
        ("~nobody/mine", "there is no file or folder", ""),
        (".", "is no Python package", "pyproject.toml or a setup.py"),
        ("git+https://example.com/mine.git", "lacks the package's name", "name @ address"),
        ("https://example.com/mine.whl", "lacks the package's name", "name @ address"),
        ("mine @ https://example.com/${TOKEN}", "variables are not replaced", "write the value"),
        ("numpy --no-binary", "the option `--no-binary` of one requirement", "remove"),
        ("numpy=1.2", "is not a requirement", "write `numpy==1.2`"),
        ("numpy 1.2", "is not a requirement", "write `numpy==1.2`"),
        ("numpy^1.2", "is not a requirement", "write `numpy~=1.2`"),
        ("tokenizers=0.15", "`tokenizers=0.15` is not a requirement", "write `tokenizers==0.15`"),
        ("numpy pandas", "is not a requirement", "one requirement to a line"),
        ("numpy, pandas", "is not a requirement", "one requirement to a line"),
        ("???", "is not a requirement", "package==1.2"),
    ],
)
def test_line_that_cannot_be_used_says_why_and_what_instead(
    folder: Path, line: str, what: str, suggestion: str
) -> None:
    message = fault(folder, line)
    assert message.startswith("requirements.txt:1: ")
    assert what in message
    assert suggestion in message


@pytest.mark.parametrize(
    "line",
    [
        "mine @ https://me:hunter2@example.com/mine.whl",
        "mine @ git+https://hunter2@example.com/mine.git",
        "mine @ https://example.com/mine.whl?sig=hunter2",
        "https://me:hunter2@example.com/mine.whl",
        "--index-url https://me:hunter2@example.com/simple",
        "-r https://me:hunter2@example.com/r.txt",
        "mine @ https://me:hunter2@example.com/mine.whl ???",
        "mine = https://me:hunter2@example.com",
    ],
)
def test_login_is_refused_and_never_shown(folder: Path, line: str) -> None:
    assert "hunter2" not in fault(folder, line)


def test_git_user_of_ssh_is_no_login(folder: Path) -> None:
    line = "mine @ git+ssh://git@example.com/mine.git"
    assert read(folder, line) == (line,)


@pytest.mark.parametrize(
    ("line", "read_as"),
    [
        ("./mine", "{folder}/mine"),
        ("mine/", "{folder}/mine"),
        ("./mine[fast,x] ; python_version < '4'", "{folder}/mine[fast,x] ; python_version < '4'"),
        ("mine @ file:./mine", "mine @ file://{folder}/mine"),
        ("mine @ file://{folder}/mine", "mine @ file://{folder}/mine"),
        ("mine-1.0-py3-none-any.whl", "{folder}/mine-1.0-py3-none-any.whl"),
        ("{folder}/mine-1.0.tar.gz", "{folder}/mine-1.0.tar.gz"),
    ],
)
def test_local_package_becomes_an_absolute_path(folder: Path, line: str, read_as: str) -> None:
    (folder / "mine").mkdir()
    (folder / "mine/pyproject.toml").touch()
    for name in ("mine-1.0-py3-none-any.whl", "mine-1.0.tar.gz"):
        (folder / name).touch()
    (folder / "more").mkdir()
    here = Path.cwd()
    assert read(folder, line.replace("{folder}", str(here))) == (read_as.replace("{folder}", str(here)),)


def test_constraints_are_read_and_kept_apart(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more/limits.txt").write_text("numpy<2\n-c others.txt\n")
    (folder / "more/others.txt").write_text("scipy<1.16  # for now\n")
    (folder / "requirements.txt").write_text("numpy\n-c more/limits.txt\n-r more.txt\n")
    (folder / "more.txt").write_text("scipy\n--constraint=more/others.txt\n")
    found = read_requirements(Path("requirements.txt"))
    assert found.requirements == ("numpy", "scipy")
    assert found.constraints == ("scipy<1.16", "numpy<2", "scipy<1.16")


@pytest.mark.parametrize("name", ["azureml-defaults", "azureml_defaults~=1.5", "AzureML-Defaults[x]==1"])
def test_server_package_is_left_out_with_a_note(name: str) -> None:
    kept, notes = without_server(["numpy", name, "azureml-core"])
    assert kept == ("numpy", "azureml-core")
    assert notes == (
        "azureml-defaults is left out: fnpack's host does what it did; "
        "add the packages your script itself imports",
    )


def test_without_server_package_there_is_no_note() -> None:
    assert without_server(["numpy"]) == (("numpy",), ())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["-r ", "-", "--", "=", "a", " ", "\\", "\n", "#", "@", "."])).map("".join),
    )
)
def test_any_text_is_read_or_refused_as_configuration(folder: Path, text: str) -> None:
    (folder / "requirements.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ConfigurationError):
        read_requirements(Path("requirements.txt"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            ["a", "B2", "-", ".", "_", " ", "==", "<=", "~=", "!", "<", ">", ",", "1", "1.0", ".2", "*"]
        )
    )
)
def test_plain_lines_are_read_as_the_grammar_reads_them(folder: Path, pieces: list[str]) -> None:
    line = "".join(pieces).strip()
    try:
        Requirement(line)
    except InvalidRequirement:
        with suppress(ConfigurationError):
            assert read(folder, line) in {(), (str(folder / line),)}, line  # nothing, or a folder such as `.`
    else:
        assert read(folder, line) == (line,)


@pytest.mark.parametrize("line", ["numpy", "numpy==2.2.6", "scikit-learn >= 1.5, <2", "azure-functions<2"])
def test_plain_lines_need_no_parser(folder: Path, line: str) -> None:
    (folder / "requirements.txt").write_text(line)
    code = (
        "import sys; from pathlib import Path; from fnpack.config.requirements import read_requirements as read; "
        "print(read(Path('requirements.txt')).requirements[0]); sys.exit('packaging' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == line
