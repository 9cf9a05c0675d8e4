import pytest

from fnpack.config.discovery import discover
from fnpack.config.project import ProjectSettings, merge


@pytest.mark.parametrize(
    ("files", "flags", "found"),
    [
        ([], {}, {}),
        (["score.py"], {}, {"entry_script": "score.py"}),
        (
            ["score.py", "requirements.txt"],
            {},
            {"entry_script": "score.py", "requirements": "requirements.txt"},
        ),
        (
            ["score.py", "inferenceconfig.json", "requirements.txt"],
            {},
            {"inference_config": "inferenceconfig.json"},
        ),
        (
            ["score.py", "inferenceconfig.json", "requirements.txt"],
            {"entry_script": "other.py"},
            {"entry_script": "other.py", "requirements": "requirements.txt"},
        ),
        (["score.py", "requirements.txt"], {"inference_config": "x.json"}, {"inference_config": "x.json"}),
    ],
)
def test_usual_names_count_where_nothing_was_said(tmp_path, files, flags, found):
    for name in files:
        (tmp_path / name).write_text("")
    raw = discover(merge(ProjectSettings(), {}, flags, cwd=tmp_path), tmp_path)
    assert {name: setting.value for name, setting in raw.values.items()} == found
