"""Places as a person writes them."""

from __future__ import annotations

import pytest

from fnpack.messages.errors import PlaceError
from fnpack.messages.place import Place, read_source, read_target


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("queue:in", Place("queue", "in")),
        ("queue:a/b", Place("queue", "a/b")),
        ("topic:t/sub", Place("topic", "t", "sub")),
        ("topic:a/b/sub", Place("topic", "a/b", "sub")),
        ("storage-queue:Jobs", Place("storage-queue", "jobs")),
        ("blob:box", Place("blob", "box")),
        ("blob:box/a/b.json", Place("blob", "box", "a/b.json")),
        ("blob:box/a/", Place("blob", "box", "a/")),
    ],
)
def test_source_is_read_and_written_back(text: str, place: Place) -> None:
    assert read_source(text) == place
    assert str(place) == text.replace("Jobs", "jobs")


@pytest.mark.parametrize("text", ["in", "queue:", "queue:/", "", ":", "file:x", "https://x"])
def test_what_is_no_place_gets_a_hint(text: str) -> None:
    with pytest.raises(PlaceError) as caught:
        read_source(text)
    assert f"`{text}` names no place" in str(caught.value)
    assert caught.value.hint


def test_mistyped_kind_gets_a_suggestion() -> None:
    with pytest.raises(PlaceError) as caught:
        read_source("quue:in")
    assert caught.value.hint == "did you mean `queue`?"


def test_messages_go_to_topics_and_come_from_subscriptions() -> None:
    assert read_target("topic:t") == Place("topic", "t")
    assert Place("topic", "t", "sub").target == Place("topic", "t")
    with pytest.raises(PlaceError) as sent:
        read_target("topic:t/sub")
    assert sent.value.hint == "write topic:t"
    with pytest.raises(PlaceError) as received:
        read_source("topic:t")
    assert received.value.hint == "write topic:t/SUBSCRIPTION"
