"""The queue output against a real storage service."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator

import pytest
from azure.storage.queue.aio import QueueServiceClient
from hypothesis import given
from hypothesis import strategies as st

from fnpack_triggers.base import Binding
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError, PatternError
from fnpack_triggers.json_data import split_items
from fnpack_triggers.queue.encoding import MessageUnfitError
from fnpack_triggers.queue.listener import QueueTrigger
from fnpack_triggers.queue.options import QueueOptions
from fnpack_triggers.queue.output import QueueOutput

TEXT, JSON, BINARY = "text/plain", "application/json", "application/octet-stream"


class Out:
    def __init__(self, connection: StorageConnection) -> None:
        self.connection = connection
        self.name = f"out-{uuid.uuid4().hex}"
        self.service = QueueServiceClient.from_connection_string(connection.text)
        self.outputs: list[QueueOutput] = []

    def output(self, name: str = "", *, is_base64: bool = True) -> QueueOutput:
        binding = Binding("output", "queue", "out", {"queuename": name or self.name})
        one = QueueOutput(binding, self.connection, is_base64=is_base64)
        self.outputs.append(one)
        return one

    async def texts(self, name: str = "") -> list[str]:
        queue = self.service.get_queue_client(name or self.name)
        return [one.content async for one in queue.receive_messages()]

    async def values(self, name: str = "") -> list[bytes]:
        return [base64.b64decode(text) for text in await self.texts(name)]


@pytest.fixture
async def out(azurite) -> AsyncIterator[Out]:
    one = Out(StorageConnection.parse("TestStorage", azurite.connection_string))
    yield one
    for output in one.outputs:
        await output.close()
    await one.service.close()


async def test_the_first_message_creates_the_queue_and_is_base64(out) -> None:
    assert await out.output().write("grün".encode(), {}, content_type=TEXT) == out.name
    assert await out.values() == ["grün".encode()]


async def test_messages_are_plain_text_where_host_json_says_so(out) -> None:
    await out.output(is_base64=False).write(b"<a> & b", {}, content_type=TEXT)
    assert await out.texts() == ["<a> & b"]


async def test_a_json_array_becomes_a_message_per_item(out) -> None:
    value = b' [ "a,]", {"x": [1, 2]}, 1.10, null ] '
    assert await out.output().write(value, {}, content_type=JSON) == f"{out.name} (4 messages)"
    assert await out.values() == [b"a,]", b'{"x": [1, 2]}', b"1.10", b""]


async def test_bytes_that_look_like_a_json_array_stay_one_message(out) -> None:
    await out.output().write(b"[1, 2]", {}, content_type=BINARY)
    assert await out.values() == [b"[1, 2]"]


async def test_the_queues_name_may_hold_expressions(out) -> None:
    await out.output("{kind}-" + out.name).write(b"x", {"Kind": "CAT"}, content_type=TEXT)
    assert await out.values(f"cat-{out.name}") == [b"x"]


async def test_a_rendered_name_that_no_queue_can_have_is_an_error(out) -> None:
    with pytest.raises(BindingError, match="a_b"):
        await out.output("{kind}").write(b"x", {"kind": "a_b"}, content_type=TEXT)
    with pytest.raises(PatternError, match="nothing is named"):
        await out.output("{kind}").write(b"x", {}, content_type=TEXT)


async def test_64_kib_of_stored_text_fit_and_a_byte_more_is_a_clear_error(out) -> None:
    await out.output().write(b"x" * 49_152, {}, content_type=TEXT)
    assert [len(value) for value in await out.values()] == [49_152]
    with pytest.raises(MessageUnfitError, match="49153 bytes is 65540 bytes as base64.*takes 65536"):
        await out.output().write(b"x" * 49_153, {}, content_type=TEXT)
    await out.output(is_base64=False).write(b"x" * 65_536, {}, content_type=TEXT)


@pytest.mark.parametrize("value", [b"\xff", b"a\x00b"])
async def test_what_plain_text_cannot_carry_is_a_clear_error(out, value: bytes) -> None:
    with pytest.raises(MessageUnfitError, match="plain text"):
        await out.output(is_base64=False).write(value, {}, content_type=TEXT)


async def test_a_queue_that_was_deleted_is_created_again(out) -> None:
    output = out.output()
    await output.write(b"1", {}, content_type=TEXT)
    await out.service.delete_queue(out.name)
    await output.write(b"2", {}, content_type=TEXT)
    assert await out.values() == [b"2"]


async def test_a_message_sent_from_this_process_wakes_an_idle_listener(out) -> None:
    import asyncio

    arrived = asyncio.Event()

    async def deliver(event: object) -> None:
        arrived.set()

    listener = QueueTrigger("f", out.name, out.connection, QueueOptions(max_polling_interval_s=3600))
    await listener.start(deliver)
    try:
        listener._backoff._empty_polls = 20
        await asyncio.sleep(0.3)
        await out.output().write(b"x", {}, content_type=TEXT)
        await asyncio.wait_for(arrived.wait(), 5)
    finally:
        await listener.stop(1)


def test_a_binding_without_a_queue_name_is_an_error(azurite) -> None:
    connection = StorageConnection.parse("S", azurite.connection_string)
    with pytest.raises(BindingError, match="queueName"):
        QueueOutput(Binding("output", "queue", "out", {}), connection)
    with pytest.raises(BindingError, match="storage queue"):
        QueueOutput(Binding("output", "queue", "out", {"queuename": "A_B"}), connection)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(st.lists(values), st.sampled_from([None, 1]))
def test_items_of_an_array_are_split_without_loss(items: list[object], indent: int | None) -> None:
    split = split_items(json.dumps(items, indent=indent).encode())
    for item, text in zip(items, split, strict=True):
        if isinstance(item, str):
            assert text == item.encode(errors="replace")
        elif item is None:
            assert text == b""
        else:
            assert json.loads(text) == item


@given(st.binary() | st.text().map(str.encode))
def test_anything_that_is_no_array_stays_as_it_is(value: bytes) -> None:
    try:
        is_array = isinstance(json.loads(value.decode()), list)
    except ValueError:
        is_array = False
    if not is_array:
        assert split_items(value) == [value]
