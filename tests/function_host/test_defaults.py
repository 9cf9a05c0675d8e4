"""What counts where an app says nothing: the defaults of Azure's host and extensions."""

import os

import pytest

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.app.host_json import HostJson
from fnpack_host.host import Host, HostOptions
from fnpack_host.http.options import HttpOptions
from fnpack_host.settings import Settings
from fnpack_host.worker.functions import thread_count
from fnpack_triggers.blob.options import BlobOptions

TIMER = '{"bindings": [{"type": "timerTrigger", "name": "t", "schedule": "0 0 * * * *"}]}'


@pytest.fixture
def app(tmp_path):
    """An app without a host.json."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "function.json").write_text(TIMER)
    (tmp_path / "f" / "__init__.py").write_text("")
    return FunctionApp.load(tmp_path, Settings({}))


def test_app_without_host_json_gets_azures_defaults(app, monkeypatch):
    host = Host(app, HostOptions())
    assert (host._timeout_s(), host._worker_count()) == (1800, 1)
    http = HttpOptions.read(app.host_json, app.settings)
    assert (http.route_prefix, http.max_body_bytes) == ("api", 104_857_600)
    assert (http.max_concurrent_requests, http.max_outstanding_requests) == (-1, -1)
    blobs = BlobOptions()
    assert (blobs.max_degree_of_parallelism, blobs.poison_blob_threshold) == (8 * (os.cpu_count() or 1), 5)
    assert app.retry_of(app.functions[0]) is None
    monkeypatch.delenv("PYTHON_THREADPOOL_THREAD_COUNT", raising=False)
    assert thread_count() == 1000


def test_function_timeout_of_minus_one_is_none(app):
    host_json = HostJson({"functionTimeout": "-1"})
    host_json.check()
    assert host_json.seconds("functionTimeout", 1800) is None
