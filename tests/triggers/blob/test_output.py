"""The blob output binding and the listing page against a real storage service."""

from __future__ import annotations

import pytest

from fnpack_triggers.base import Binding
from fnpack_triggers.blob.faults import NotFoundError
from fnpack_triggers.blob.listing import list_page
from fnpack_triggers.blob.output import BlobOutput
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import PatternError, ServiceError


def output(box, path: str) -> BlobOutput:
    return BlobOutput(Binding("output", "blob", "out", {"path": path}), box.connection)


async def test_it_creates_the_container_and_writes_content_type_and_parent(box) -> None:
    await box.container.delete_container()
    box.name += "-2"
    binding = output(box, f"{box.name}/{{name}}_out.json")
    data = {"Name": "dir/ü &", "InvocationId": "i-1"}
    assert (
        await binding.write(b"[1]", data, content_type="application/json") == f"{box.name}/dir/ü &_out.json"
    )
    stream = await box.container.download_blob("dir/ü &_out.json")
    assert await stream.readall() == b"[1]"
    assert stream.properties.content_settings.content_type == "application/json"
    assert stream.properties.metadata == {"AzureWebJobsParentId": "i-1"}
    await binding.close()


async def test_a_repeat_overwrites_the_same_blob(box) -> None:
    binding = output(box, f"{box.name}/a")
    for value in (b"long value", b"", b"last"):
        await binding.write(value, {}, content_type="")
    assert await (await box.container.download_blob("a")).readall() == b"last"
    await binding.close()


async def test_a_name_that_is_not_in_the_data_writes_nothing(box) -> None:
    binding = output(box, f"{box.name}/{{nope}}")
    with pytest.raises(PatternError):
        await binding.write(b"x", {}, content_type="")
    assert [name async for name in box.container.list_blob_names()] == []
    await binding.close()


async def test_a_blob_that_may_not_be_overwritten_is_a_clear_error(box) -> None:
    await box.drop("held")
    await box.container.get_blob_client("held").acquire_lease(15)
    binding = output(box, f"{box.name}/held")
    with pytest.raises(ServiceError, match="cannot be written"):
        await binding.write(b"x", {}, content_type="")
    await binding.close()


async def test_a_refused_key_is_a_clear_error(box) -> None:
    parts = dict(part.split("=", 1) for part in box.connection.text.strip(";").split(";"))
    parts["AccountKey"] = "d3Jvbmc="
    connection = StorageConnection.parse("X", ";".join(f"{key}={value}" for key, value in parts.items()))
    binding = BlobOutput(Binding("output", "blob", "out", {"path": f"{box.name}/a"}), connection)
    with pytest.raises(ServiceError, match="refused") as caught:
        await binding.write(b"x", {}, content_type="")
    assert "d3Jvbmc=" not in str(caught.value)
    await binding.close()


async def test_a_listing_goes_on_where_the_page_ended(box) -> None:
    names = ["a/1 &<>.txt", "a/2 ü%41+.txt", "a/3", "b"]
    await box.drop(*names, data=b"xy")
    listed, marker = [], ""
    while True:
        page = await list_page(box.container, "a/", marker, page_size=2)
        listed += list(page.blobs())
        assert [(blob.name, blob.etag, blob.blob_type) for blob in page.blobs()] == list(page.keys())
        marker = page.next_marker
        if not marker:
            break
    assert [blob.name for blob in listed] == names[:3]
    properties = await box.container.get_blob_client(names[0]).get_blob_properties()
    assert (listed[0].etag, listed[0].size_bytes) == (properties.etag.strip('"'), 2)
    assert listed[0].last_modified == properties.last_modified
    assert abs((page.now - properties.last_modified).total_seconds()) < 60


async def test_a_listing_of_no_container_says_so(box) -> None:
    with pytest.raises(NotFoundError) as caught:
        await list_page(box.service.get_container_client("nope"), "")
    assert caught.value.code == "ContainerNotFound"
