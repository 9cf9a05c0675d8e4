"""Blob paths, checked against a regular expression built the way Azure's host builds it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fnpack_triggers.blob.pattern import could_match, parse_output_path, parse_trigger_path
from fnpack_triggers.errors import PatternError

LITERAL = st.text(alphabet="ab./-{}\n*", max_size=4)
SEGMENT = LITERAL | st.integers(min_value=0, max_value=3)  # a number is a capture
NAME = st.text(alphabet="ab./-{}\n*", min_size=1, max_size=14)


def oracle(parts: list[str | int], blob_name: str) -> dict[str, str] | None:
    """Greedy groups over the anchored name; of groups with the same name the last one counts."""
    pattern, names = "", []
    for part in parts:
        if isinstance(part, int):
            names.append(f"c{part}")
            pattern += "(.*)"
        else:
            pattern += re.escape(part)
    found = re.fullmatch(pattern, blob_name)
    return dict(zip(names, found.groups(), strict=True)) if found else None


@given(st.lists(SEGMENT, min_size=1, max_size=6), NAME)
@example([0, ".", 1], "x.y.csv")
@example([0, "\n", 1], "a\nb")
@example([0, 0], "ab")
def test_matching_agrees_with_greedy_groups(parts: list[str | int], blob_name: str) -> None:
    text = "".join(
        f"{{c{part}}}" if isinstance(part, int) else part.replace("{", "{{").replace("}", "}}")
        for part in parts
    )
    if not any(isinstance(part, int) for part in parts) or not text:
        return
    assert parse_trigger_path(f"box/{text}").match(blob_name) == oracle(parts, blob_name)


@pytest.mark.parametrize(
    ("path", "name", "captured"),
    [
        ("input/{blobname}.json", "a/b.json", {"blobname": "a/b"}),
        ("input/{blobname}.json", ".json", {"blobname": ""}),
        ("input/{blobname}.json", "a.JSON", None),
        ("input", "any/thing", {}),
        ("input/a.txt", "a.txt", {}),
        ("input/a.txt", "a.txt2", None),
        ("images/{{2014}}-{name}", "{2014}-x", {"name": "x"}),
        ("input/x{a}x", "x", None),
        ("input/{a}/{A}", "1/2", {"a": "2"}),
        ("$web/{f}", "index.html", {"f": "index.html"}),
    ],
)
def test_documented_examples(path: str, name: str, captured: dict[str, str] | None) -> None:
    assert parse_trigger_path(path).match(name) == captured


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("box/a/{x}.json", "a/"), ("box/{x}", ""), ("box", ""), ("box/a.txt", "a.txt"), ("box/{{a}}{x}", "{a}")],
)
def test_only_the_literal_prefix_needs_listing(path: str, prefix: str) -> None:
    assert parse_trigger_path(path).prefix == prefix


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "container name is missing"),
        ("/a", "container name is missing"),
        ("in{put}/a", "container part .* expression at character 3"),
        ("in}put/a", "container part"),
        ("input/", "blob name is missing"),
        ("in\\put/a", "not `\\\\`"),
        ("Input/a", "container name"),
        ("box/{a", "unclosed brace .* at character 5"),
        ("box/a}", "character 6"),
        ("input/{a.b}", "dotted"),
        ("input/{rand-guid}", "cannot stand"),
        ("input/{DateTime:yyyy}", "cannot stand"),
        ("input/{a:N}", "no format"),
        ("input/a.", "end in"),
        ("input/a\\b", "cannot hold"),
        ("input/" + "a" * 1025, "1 to 1024"),
    ],
)
def test_a_trigger_path_that_is_none_is_refused_with_the_place(path: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        parse_trigger_path(path)


def test_many_captures_against_a_long_name_take_no_time() -> None:
    pattern = parse_trigger_path("input/" + "".join(f"{{c{n}}}a" for n in range(30)) + "b")
    begun = time.perf_counter()
    assert pattern.match("a" * 1024) is None
    assert time.perf_counter() - begun < 0.1


def test_an_output_path_renders_container_and_name() -> None:
    path = parse_output_path("{box}/{blobname}_out.json")
    assert path.render({"Box": "output", "BlobName": "a/b"}) == ("output", "a/b_out.json")


def test_an_output_path_may_come_whole_from_the_data() -> None:
    assert parse_output_path("{target}").render({"target": "output/x"}) == ("output", "x")


@pytest.mark.parametrize("path", ["output", "", "Out/{x}", "output/", "output/a."])
def test_an_output_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(PatternError):
        parse_output_path(path)


@pytest.mark.parametrize("value", ["", "a\\b", "a/"])
def test_what_renders_to_no_blob_name_is_refused(value: str) -> None:
    with pytest.raises(PatternError, match="blob name"):
        parse_output_path("output/{x}").render({"x": value})


def test_a_name_that_the_trigger_does_not_capture_is_refused() -> None:
    trigger = parse_trigger_path("input/{blobname}.json")
    with pytest.raises(PatternError, match="nothing is named `name`"):
        parse_output_path("output/{name}.json").check(trigger.captures)


@pytest.mark.parametrize(
    ("trigger", "output", "loops"),
    [
        ("data/{n}.json", "data/{n}_out.json", True),
        ("data/{n}", "data/{n}", True),
        ("data", "data/{rand-guid}", True),
        ("data/{n}", "{BlobTrigger}", True),
        ("data/{a}-{b}", "data/{b}-{a}", True),
        ("data/{n}.json", "data/{Metadata.kind}.json", True),
        ("data/a.txt", "data/a.txt", True),
        ("data/in/{n}.json", "data/out/{n}.json", False),
        ("data/{n}.json", "data/{n}.txt", False),
        ("data/in-{n}", "data/{n}", False),
        ("input/{n}", "output/{n}", False),
        ("data/a.txt", "data/b.txt", False),
    ],
)
def test_an_output_that_would_trigger_its_own_function_is_noticed(
    trigger: str, output: str, loops: bool
) -> None:
    assert could_match(parse_trigger_path(trigger), parse_output_path(output)) is loops
