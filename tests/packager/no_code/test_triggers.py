"""A model alone behind a blob and a Service Bus trigger: text JSON in, JSON out, through real storage and broker."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import trained_models as trained
from azure.storage.blob import BlobServiceClient
from trained_models import ROWS

from fnpack.app.directory import write_app
from fnpack.config.build import complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge
from fnpack.devbus import DevBusThread

pytestmark = pytest.mark.timeout(300)
BODY = json.dumps({"data": ROWS}).encode()


def app_for(folder: Path, **options: Value | None) -> Path:
    values: dict[str, Value | None] = {"model": (str(trained.lightgbm_file(folder)),), **options}
    spec = complete(merge(ProjectSettings(), {}, values, cwd=folder)).app
    return write_app(spec, folder / "app", lock_text="").path


def expected(folder: Path) -> Any:
    import lightgbm
    import numpy as np

    booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
    return pytest.approx(np.asarray(booster.predict(np.array(ROWS))).tolist())


def test_blobs_are_scored(azurite, tmp_path, start_host, wait_until) -> None:
    name = f"nocode-{uuid.uuid4().hex[:8]}"
    paths = {"input_path": f"{name}/in/{{n}}.json", "output_path": f"{name}/out/{{n}}.json"}
    app = app_for(tmp_path, trigger=("blob",), **paths)
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.create_container(name)
        host = start_host(app, settings={"TriggerConnectionString": azurite.connection_string}, ready=False)
        host.wait_ready(100)
        container.upload_blob("in/a.json", BODY)
        done = container.get_blob_client("out/a.json")
        wait_until(done.exists, timeout_s=30)
        assert json.loads(done.download_blob().readall()) == expected(tmp_path)
        container.upload_blob("in/bad.json", b'{"data": [[1]]}')
        host.wait_log("row 0 of `data` has 1 values, but the model takes 4")


def test_messages_are_scored(tmp_path, start_host) -> None:
    from azure.servicebus import ServiceBusClient, ServiceBusMessage

    app = app_for(tmp_path, trigger=("service_bus_queue",), input_queue="in", output_queue="out")
    with DevBusThread() as bus:
        bus.ensure_queue("in")
        bus.ensure_queue("out")
        host = start_host(app, settings={"TriggerConnectionString": bus.connection_string}, ready=False)
        host.wait_ready(100)
        with ServiceBusClient.from_connection_string(bus.connection_string) as client:
            with client.get_queue_sender("in") as sender:
                sender.send_messages(ServiceBusMessage(BODY))
            with client.get_queue_receiver("out") as receiver:
                (message,) = receiver.receive_messages(max_wait_time=30)
                assert json.loads(str(message)) == expected(tmp_path)
                receiver.complete_message(message)
        host.stop()
