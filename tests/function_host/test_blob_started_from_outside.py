"""A blob function that is told of blobs by Event Grid, or started by hand, through the real host."""

import json
import uuid

import pytest

from fnpack.spec import BlobTrigger


@pytest.fixture
def blob_host(azurite, scoring_app, start_host, tmp_path):
    from azure.storage.blob import BlobServiceClient

    container = f"in-{uuid.uuid4().hex[:8]}"
    trigger = BlobTrigger(f"{container}/{{name}}.txt", f"{container}/{{name}}.out")
    app = scoring_app("def init(): pass\ndef run(data): return data + '!'\n", triggers=[trigger])
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(container)
        host = start_host(app, settings={"TriggerConnectionString": azurite.connection_string})
        yield host, container, service.get_container_client(container)
        assert host.stop() == 0


def start(host, text):
    body = json.dumps({"input": text}).encode()
    return host.call("/admin/functions/score-blob", body, headers={"content-type": "application/json"})[0]


def test_named_blob_is_run_again_by_hand(blob_host, wait_until):
    host, container, client = blob_host
    client.upload_blob("a.txt", b"hello")
    wait_until(lambda: client.get_blob_client("a.out").exists(), timeout_s=20)
    client.delete_blob("a.out")
    assert start(host, f"{container}/a.txt") == 202
    wait_until(lambda: client.get_blob_client("a.out").exists(), timeout_s=20)
    assert client.download_blob("a.out").readall() == b"hello!"


def test_blob_that_is_not_there_or_not_the_triggers_is_named_in_the_log(blob_host):
    host, container, _ = blob_host
    assert start(host, f"{container}/none.txt") == 202
    host.wait_log(f"there is no blob `{container}/none.txt`")
    assert start(host, "elsewhere/a.txt") == 202
    host.wait_log("`elsewhere/a.txt` does not match the trigger's path")


def test_event_grid_is_answered_and_wakes_the_trigger(blob_host, wait_until):
    host, container, client = blob_host
    path = "/runtime/webhooks/blobs?functionName=Host.Functions.score-blob"
    hello = [
        {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "x1"}}
    ]
    status, body, _ = host.call(
        path, json.dumps(hello).encode(), headers={"aeg-event-type": "SubscriptionValidation"}
    )
    assert (status, json.loads(body)) == (200, {"validationResponse": "x1"})
    client.upload_blob("b.txt", b"hello")
    event = [
        {
            "eventType": "Microsoft.Storage.BlobCreated",
            "subject": f"/blobServices/default/containers/{container}/blobs/b.txt",
            "data": {"url": f"{client.url}/b.txt", "eTag": "0x1", "blobType": "BlockBlob"},
        }
    ]
    status, _, _ = host.call(path, json.dumps(event).encode(), headers={"aeg-event-type": "Notification"})
    assert status == 202
    wait_until(lambda: client.get_blob_client("b.out").exists(), timeout_s=20)
