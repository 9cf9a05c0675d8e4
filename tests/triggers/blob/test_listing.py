"""The text of a listing page: what is read of it, in whatever order the service writes it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from fnpack_triggers.blob.listing import Page

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MODIFIED = "<Last-Modified>Sat, 21 Nov 2026 07:20:17 GMT</Last-Modified>"


def blob(name: str, *fields: str) -> str:
    return f"<Blob><Name>{name}</Name><Properties>{MODIFIED}{''.join(fields)}</Properties></Blob>"


def keys(*blobs: str) -> list[tuple[str, str, str]]:
    return list(Page("".join(("<Blobs>", *blobs, "</Blobs>")), "", NOW).keys())


ETAG, QUOTED = "<Etag>0x1</Etag>", "<Etag>&quot;0x1&quot;</Etag>"
BLOCK, PAGE = "<BlobType>BlockBlob</BlobType>", "<BlobType>PageBlob</BlobType>"


@pytest.mark.parametrize("fields", [(ETAG, BLOCK), (BLOCK, ETAG), (QUOTED, BLOCK)])
def test_the_order_of_fields_and_quotes_do_not_matter(fields: tuple[str, str]) -> None:
    assert keys(blob("a", *fields), blob("b", *fields)) == [
        ("a", "0x1", "BlockBlob"),
        ("b", "0x1", "BlockBlob"),
    ]


def test_one_blob_without_a_field_does_not_shift_the_others() -> None:
    listed = keys(blob("a", BLOCK), blob("b", ETAG, PAGE), blob("c", ETAG))
    assert listed == [("a", "", "BlockBlob"), ("b", "0x1", "PageBlob"), ("c", "0x1", "")]


def test_names_are_unescaped_once_and_decoded_where_marked() -> None:
    marked = blob("x", ETAG, BLOCK).replace("<Name>x", '<Name Encoded="true">a%EF%BF%BFb')
    names = [name for name, _, _ in keys(blob("&amp;lt;&amp;%41", ETAG, BLOCK), marked)]
    assert names == ["&lt;&%41", "a\uffffb"]


def test_an_empty_page_has_no_blobs() -> None:
    assert keys() == []
