import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.http.key_ring import KeyRing
from fnpack_host.http.key_stores import FileKeys
from fnpack_host.http.webhooks import BLOBS_KEY, BadEvents, Webhooks, blob_events, validation_code
from fnpack_triggers.base import BlobEvent, EventGridSink
from fnpack_triggers.errors import ServiceError

URL = "https://acct.blob.core.windows.net/input/a%20b/c.json"
CREATED = {
    "eventType": "Microsoft.Storage.BlobCreated",
    "subject": "/blobServices/default/containers/input/blobs/a b/c.json",
    "data": {"url": URL, "eTag": "0x8D", "blobType": "BlockBlob"},
}
EVENT = BlobEvent("input", "a b/c.json", "0x8D", "BlockBlob", URL)


class MemorySink:
    def __init__(self, fail=False):
        self.taken, self.fail = [], fail

    async def take(self, event):
        if self.fail:
            raise ServiceError("storage is away")
        self.taken.append(event)


async def post(webhooks, body, query="functionName=Host.Functions.Blob1", kind="Notification", **scope):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    headers = [(b"aeg-event-type", kind.encode())] if kind else []
    scope = {"method": "POST", "query_string": query.encode(), "headers": headers, **scope}
    await webhooks.answer("/runtime/webhooks/blobs", scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_events_go_to_the_function_that_the_query_names():
    sink, other = MemorySink(), MemorySink()
    assert isinstance(sink, EventGridSink)
    webhooks = Webhooks(None, lambda: {"blob1": sink, "blob2": other})
    cloud = {"type": "Microsoft.Storage.BlobCreated", "data": {"url": URL, "eTag": "0x8D"}}
    assert (await post(webhooks, [CREATED, {**CREATED, "eventType": "Microsoft.Storage.BlobDeleted"}]))[
        0
    ] == 202
    assert (await post(webhooks, cloud, kind=""))[0] == 202
    assert sink.taken == [EVENT, EVENT]
    assert other.taken == []


async def test_validation_handshake_returns_the_code():
    webhooks = Webhooks(None, lambda: {"blob1": MemorySink()})
    status, body = await post(
        webhooks, [{"data": {"validationCode": "512d38b6"}}], kind="SubscriptionValidation"
    )
    assert (status, json.loads(body)) == (200, {"validationResponse": "512d38b6"})


async def test_what_cannot_be_kept_is_sent_again():
    assert (await post(Webhooks(None, lambda: {"blob1": MemorySink(fail=True)}), [CREATED]))[0] == 503


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("functionName=Host.Functions.none", [CREATED], 404),
        ("", [CREATED], 404),
        ("functionName=Host.Functions.Blob1", "text", 400),
        ("functionName=Host.Functions.Blob1", [{**CREATED, "data": {}}], 400),
        (
            "functionName=Host.Functions.Blob1",
            [{**CREATED, "subject": "", "data": {"url": "https://x/"}}],
            400,
        ),
    ],
)
async def test_bad_call_is_refused(query, body, status):
    sink = MemorySink()
    assert (await post(Webhooks(None, lambda: {"blob1": sink}), body, query))[0] == status
    assert sink.taken == []


async def test_system_key_of_the_extension_or_master_key_opens_the_webhook(tmp_path):
    ring = KeyRing(FileKeys(tmp_path), ["f"], [BLOBS_KEY])
    await ring.load()
    webhooks = Webhooks(ring, lambda: {"blob1": MemorySink()})
    query = "functionName=Host.Functions.Blob1&code="
    allowed = [ring.keys.system[BLOBS_KEY], await ring.master()]
    refused = ["", "wrong", ring.keys.host[0], ring.keys.functions["f"][0]]
    assert [(await post(webhooks, [CREATED], query + key))[0] for key in allowed] == [202, 202]
    assert [(await post(webhooks, [CREATED], query + key))[0] for key in refused] == [401] * 4
    await ring.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "url", "eventType", "x"]), inner)
    ),
    max_leaves=10,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body):
    for read in (blob_events, validation_code):
        with contextlib.suppress(BadEvents):
            read(body)


def test_deeply_nested_body_is_refused():
    with pytest.raises(BadEvents):
        blob_events(b"[" * 100_000)


@given(st.text(max_size=20))
def test_any_function_name_is_answered(name):
    webhooks = Webhooks(None, lambda: {"blob1": MemorySink()})
    query = "functionName=" + name.encode("utf-8", "replace").decode("latin-1")
    assert asyncio.run(post(webhooks, [CREATED], query.encode("latin-1", "replace").decode("latin-1")))[
        0
    ] in (202, 404)
