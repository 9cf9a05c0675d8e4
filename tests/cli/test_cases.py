"""Bad input, one case per file of `cases/`: the whole output is compared, and nothing may be left behind.

A case is a comment, a command line, what stderr says, the exit code, and the files that the project has besides
`score.py` and `model.pkl` (`-- !score.py --` removes one). `...` in the expected text stands for anything in a line,
a line `...` for any lines. `FNPACK_RECORD_CASES=1` writes what the commands say now into the cases, to be judged.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
FORM = re.compile(
    r"(?P<about>.*?)^\$ (?P<command>.*?)\n(?P<stderr>.*?)^exit (?P<code>\d+)\n(?P<files>.*)",
    re.DOTALL | re.MULTILINE,
)
FILE = re.compile(r"^-- (.+?) --\n(.*?)(?=^-- .+? --\n|\Z)", re.DOTALL | re.MULTILINE)
SECRET = "c2VzYW1l"  # what a case gives where a secret would stand


@dataclass(frozen=True)
class Case:
    """A case as read."""

    path: Path
    about: str
    command: str
    stderr: str
    code: int
    files: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Case:
        """Read a case file."""
        text = path.read_text("utf-8")
        found = FORM.fullmatch(text)
        assert found, f"{path} is not a case"
        return cls(
            path,
            found["about"],
            found["command"],
            found["stderr"],
            int(found["code"]),
            dict(FILE.findall(found["files"])),
        )

    def arguments(self) -> tuple[dict[str, str], list[str]]:
        """Settings before the command, and what follows `fnpack`."""
        words = shlex.split(self.command)
        at = words.index("fnpack")
        return dict(word.split("=", 1) for word in words[:at]), words[at + 1 :]

    def record(self, stderr: str, code: int) -> None:
        """Write the case again with what was said."""
        text = self.path.read_text("utf-8")
        rest = FORM.fullmatch(text)
        assert rest
        files = text[rest.start("files") :]
        self.path.write_text(f"{self.about}$ {self.command}\n{stderr}exit {code}\n{files}", "utf-8")


def matches(expected: str, found: str) -> bool:
    """Whether `found` is what a case expects."""
    pattern = re.escape(expected).replace(re.escape("...\n"), r"(?:.*\n)*?").replace(re.escape("..."), ".*?")
    # `...` at the end of a longer line is still one line's
    return re.fullmatch(pattern, found) is not None


def plain(text: str, folder: Path) -> str:
    """Without what differs from run to run: the folder, times, the Python that runs."""
    text = text.replace(str(folder), "$PROJECT")
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\(\d+\.\d s\)", "(0.0 s)", text)
    return re.sub(r"(for Python )3\.\d+( on linux/)\w+", r"\g<1>3.X\g<2>X", text)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_bad_input_gets_a_clear_error_and_leaves_nothing_behind(path: Path, fnpack) -> None:
    case = Case.read(path)
    for name, content in case.files.items():
        target = fnpack.folder / name.removeprefix("!")
        if name.startswith("!"):
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, "utf-8")
    settings, arguments = case.arguments()
    settings = {name: value.replace("$PROJECT", str(fnpack.folder)) for name, value in settings.items()}
    before, beside = fnpack.snapshot(), set(fnpack.folder.parent.iterdir())

    ended = fnpack(*arguments, settings=settings)
    said = plain(ended.stderr, fnpack.folder)
    if os.environ.get("FNPACK_RECORD_CASES"):
        case.record(said, ended.code)
        case = Case.read(path)
    assert matches(case.stderr, said), said
    assert ended.code == case.code
    assert ended.stdout == ""

    subcommand = 2 if arguments[0] in ("host", "model") else 1
    as_json = fnpack(*arguments[:subcommand], "--json", *arguments[subcommand:], settings=settings)
    assert as_json.code == case.code
    error = as_json.error
    assert f"Error {error['code']}: " in ended.stderr
    for line in (*error["message"].splitlines(), *(error["hint"] or "").splitlines()):
        assert line in ended.stderr

    everything = ended.stderr + as_json.stdout + as_json.stderr
    assert "Traceback" not in everything
    assert SECRET not in everything
    assert fnpack.snapshot() == before
    assert set(fnpack.folder.parent.iterdir()) == beside


def test_every_case_is_told_in_a_sentence() -> None:
    assert CASES
    for path in CASES:
        assert Case.read(path).about.strip().startswith("# "), path
