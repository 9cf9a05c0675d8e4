from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.config.json_text import parse_json_object, read_json_object
from fnpack.config.problems import Problems
from fnpack.errors import ConfigurationError, ConfigurationFileError, ConfigurationSyntaxError

# The shape of the example in Microsoft's documentation, with its two faults: no comma after "torchvision", and the
# last brace missing.
PUBLISHED = """{
    "entryScript": "score.py",
    "sourceDirectory": "./working_directory",
    "environment": {
        "docker": {
            "arguments": [],
            "baseDockerfile": null,
            "baseImage": "registry.example.com/base:1",
            "enabled": false,
            "sharedVolumes": true,
            "shmSize": null
        },
        "python": {
            "condaDependencies": {
                "channels": ["conda-forge"],
                "dependencies": [
                    "python=3.11",
                    "torchvision"
                    {
                        "pip": [
                            "azureml-defaults",
                            "torch"
                        ]
                    }
                ]
            }
        }
    }
"""


def syntax_error(text: str) -> ConfigurationSyntaxError:
    with pytest.raises(ConfigurationSyntaxError) as caught:
        parse_json_object(text, "f.json", Problems())
    return caught.value


def test_published_example_shows_both_faults_with_their_places() -> None:
    assert str(syntax_error(PUBLISHED)).splitlines() == [
        'f.json: line 18, column 34: a comma is missing after `"torchvision"`; add `,` here',
        '    18 |                     "torchvision"',
        "                                          ^",
        "f.json: line 28, column 5: the file ends, but `{` of line 1 is never closed; add `}` at the end",
        "    28 |     }",
        "             ^",
    ]


def test_published_example_with_a_comma_too_many_shows_both_faults() -> None:
    text = PUBLISHED.replace('"torchvision"', '"torchvision",').replace('"torch"\n', '"torch",\n')
    error = syntax_error(text)
    assert [problem.what for problem in error.problems] == [
        "there is a comma after the last entry",
        "the file ends, but `{` of line 1 is never closed",
    ]
    assert error.problems[0].where == "f.json: line 22, column 36"


FAULTS = [
    ('{"a": 1,}', 8, "a comma after the last entry", "remove it"),
    ('{"a": [1, 2,]}', 12, "a comma after the last entry", "remove it"),
    ('{"a": 1 "b": 2}', 8, "a comma is missing after `1`", "add `,`"),
    ('{"a": [1 2]}', 9, "a comma is missing after `1`", "add `,`"),
    ('{"a": {} "b": 2}', 9, "a comma is missing after the `}` of line 1", "add `,`"),
    ("{'a': 1}", 2, "straight double quotes", "at the other end"),
    ("{\u201ca\u201d: 1}", 2, "straight double quotes", "at the other end"),
    ("{a: 1}", 2, "needs double quotes", '"..."'),
    ('{"a" 1}', 6, 'a colon is missing after the key `"a"`', "value"),
    ('{"a": }', 7, "a value is missing", "null"),
    ('{"a": True}', 7, "`True` is not JSON", "`true`"),
    ('{"a": False}', 7, "`False` is not JSON", "`false`"),
    ('{"a": None}', 7, "`None` is not JSON", "`null`"),
    ('{"a": 1, , "b": 2}', 10, "no entry before it", "remove"),
    ('{"a": 1}}', 9, "`}` closes nothing", "remove it"),
    ('{"a": 1} x', 10, "follows the end", "remove it"),
    ('{"a": [1}', 9, "`}` does not close the `[` of line 1, column 7", "`]`"),
    ('{"a": {"b": 1]', 14, "`]` does not close the `{` of line 1, column 7", "`}`"),
    ('{"a": "x\n}', 7, "not closed on its line", 'missing `"`'),
    ('{"a": "x', 7, "never closed", 'missing `"`'),
    ('{"a": "C:\\Users"}', 10, "meaning of its own", "`/`"),
    ('{"a": 1 // no\n}', 9, "no comments", "remove it"),
    ("/* no */ {}", 1, "no comments", "remove it"),
    ('# no\n{"a": 1}', 1, "no comments", "remove it"),
    ('{"a": {"b": [1', 14, "`{` of line 1, `{` of line 1, `[` of line 1 are never closed", "`]}}`"),
    ('{"a": .5}', 7, "`.` cannot stand here", None),
]


@pytest.mark.parametrize(("text", "column", "what", "suggestion"), FAULTS)
def test_fault_is_named_with_its_column_and_a_way_out(
    text: str, column: int, what: str, suggestion: str | None
) -> None:
    problem = syntax_error(text).problems[0]
    assert problem.where.endswith(f"column {column}")
    assert what in problem.what
    assert (suggestion or "") in (problem.suggestion or "")
    line, caret = problem.excerpt
    assert line.startswith("1 | ")
    assert caret == " " * (len("1 | ") + column - 1) + "^"


def test_indentation_tells_which_bracket_lacks_its_partner() -> None:
    text = '{\n  "a": {\n    "b": 1\n  ,\n  "c": {\n    "d": 2\n  }\n}\n'
    assert "for the `{` of line 2" in str(syntax_error(text))


def test_long_line_is_clipped_around_the_fault() -> None:
    text = '{"a": [' + "1, " * 500 + "x" + ", 1" * 500 + "]}"
    line, caret = syntax_error(text).problems[0].excerpt
    assert len(line) < 130
    assert line[caret.index("^")] == "x"


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "hunter2" "a": 1}',
        '{"password":\n "hunter2" "a": 1}',
        "{'password': 'hunter2'}",
        '{"adminPassword": "hunter2',
        '{"a": "AccountName=x;AccountKey=hunter2==;E=1" "b": 1}',
        '{"a": "https://me:hunter2@example.com/simple" "b": 1}',
        '{"a": "https://example.com/c?sv=1&sig=hunter2" "b": 1}',
        '{"apiToken": hunter2}',
        '{"connectionString": "hunter2"]',
    ],
)
def test_secret_on_a_faulty_line_is_not_shown(text: str) -> None:
    assert "hunter2" not in str(syntax_error(text))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("[1]", "must hold a JSON object"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a": ' + "1" * 10_000 + "}", "too long"),
    ],
)
def test_text_that_holds_no_object_is_refused(text: str, what: str) -> None:
    assert what in str(syntax_error(text))


def test_key_given_twice_is_a_problem() -> None:
    problems = Problems()
    parse_json_object('{"a": {"b": 1, "b": 2}}', "f.json", problems)
    with pytest.raises(ConfigurationError, match="the key `b` is given twice"):
        problems.check()


def test_byte_order_mark_is_accepted(folder: Path) -> None:
    (folder / "f.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json_object(Path("f.json"), Problems()) == {"a": 1}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ('{"a": 1}'.encode("utf-16"), "f.json: the file is UTF-16; save it as UTF-8"),
        (
            b'{\n"a": "\xe9"}',
            "f.json: line 2 holds the byte 0xe9, which is not UTF-8 text; save the file as UTF-8",
        ),
    ],
)
def test_other_encoding_is_named(folder: Path, data: bytes, what: str) -> None:
    (folder / "f.json").write_bytes(data)
    with pytest.raises(ConfigurationFileError) as caught:
        read_json_object(Path("f.json"), Problems())
    assert str(caught.value) == what


def test_missing_file_gets_a_suggestion(folder: Path) -> None:
    (folder / "inferenceconfig.json").touch()
    with pytest.raises(ConfigurationFileError) as caught:
        read_json_object(Path("inferenceConfg.json"), Problems())
    assert "there is no such file; did you mean `inferenceconfig.json`?" in str(caught.value)


def test_folder_in_place_of_a_file_is_named(folder: Path) -> None:
    with pytest.raises(ConfigurationFileError, match="this is a folder"):
        read_json_object(folder, Problems())


TOKENS = st.sampled_from(
    [*list("{}[],:\"\\ \n\t'#/"), '"a"', "1", "-", "true", "Tru", "null", "\x00", "“", "\u2028"]
)


@given(st.one_of(st.text(), st.lists(TOKENS).map("".join)))
def test_any_text_is_an_object_or_a_configuration_error(text: str) -> None:
    with suppress(ConfigurationError):
        assert parse_json_object(text, "f.json", Problems()) == json.loads(text)
