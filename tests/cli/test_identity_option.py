"""`--identity`: the host's packages in a build context, however it is said, and nothing in the app."""

from __future__ import annotations

import pytest

SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "file", "wanted"),
    [
        ((), {}, "", False),
        (("--identity",), {}, "", True),
        ((), {"FNPACK_IDENTITY": "1"}, "", True),
        ((), {}, "identity = true\n", True),
        (("--no-identity",), {}, "identity = true\n", False),
    ],
)
def test_identity_is_chosen_by_flag_variable_or_file(fnpack, arguments, variables, file, wanted) -> None:
    (fnpack.folder / "score.py").write_text(SCRIPT)
    (fnpack.folder / "fnpack.toml").write_text(file)
    ended = fnpack(
        "build", "--trigger", "blob", "--dockerfile-only", "context", *arguments, settings=variables
    )
    assert ended.code == 0, ended.stderr
    lock = (fnpack.folder / "context" / "host" / "requirements.txt").read_text()
    assert ("azure-identity==" in lock, "cryptography==" in lock) == (wanted, wanted)
    assert ("TriggerConnectionString__accountName" in ended.stderr) is wanted
    app = [path for path in (fnpack.folder / "context" / "app").rglob("*") if path.is_file()]
    own = [path for path in app if "fnpack_scoring" not in path.parts]  # the adapter is the same in every app
    assert not [path for path in own if b"identity" in path.read_bytes()]
