"""What a binding's properties do when they are left out, unknown or rare; and which model an app of both follows."""

import json
import uuid

import pytest
from azure.storage.blob import BlobServiceClient

HTTP = {"type": "httpTrigger", "direction": "in", "name": "req"}
OPEN = {**HTTP, "authLevel": "anonymous"}
RETURN = {"type": "http", "direction": "out", "name": "$return"}
STORE = {"connection": "AzureWebJobsStorage"}


def folder(name, bindings, script, **keys):
    return {
        f"{name}/function.json": json.dumps({"bindings": bindings, **keys}),
        f"{name}/__init__.py": script,
    }


def given(name, path, **more):
    return {"type": "blob", "direction": "in", "name": name, "path": path, **STORE, **more}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def host(host_of, azurite, keys):
    box = f"t{uuid.uuid4().hex[:10]}"
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(box).close()
        service.get_blob_client(box, "there").upload_blob(b"text")
    files = {
        **folder(
            "stream",
            [OPEN, RETURN, given("flow", f"{box}/there", dataType="stream"), given("text", f"{box}/there")],
            "def main(req, flow, text): return f'{flow} {text.read().decode()}'\n",
        ),
        **folder(
            "keyed",
            [{**HTTP, "description": "an unknown property", "retries": 7}, RETURN],
            "def main(req): return 'opened'\n",
            configurationSource="attributes",
            comment={"of": "nobody"},
        ),
    }
    settings = {
        "AzureWebJobsStorage": azurite.connection_string,
        "AzureWebJobsSecretStorageType": "files",
        "FUNCTIONS_SECRETS_PATH": str(keys),
    }
    return host_of(files, settings, ["--enable-auth"])


def test_blob_input_of_a_stream_is_none(host):
    assert host.call("/api/stream", b"x")[:2] == (200, b"None text")


def test_unknown_properties_and_keys_change_nothing_and_auth_level_is_function(host, keys):
    key = json.loads((keys / "keyed.json").read_text())["keys"][0]["value"]
    assert host.call("/api/keyed")[:2] == (401, b"")
    assert host.call(f"/api/keyed?code={key}")[:2] == (200, b"opened")


def test_key_in_the_header_wins_over_the_one_in_the_query(host, keys):
    key = json.loads((keys / "keyed.json").read_text())["keys"][0]["value"]
    assert host.call("/api/keyed?code=wrong", headers={"x-functions-key": key})[0] == 200
    assert host.call(f"/api/keyed?code={key}", headers={"x-functions-key": "wrong"})[0] == 401


def test_function_app_wins_over_folders(app_of, start_host):
    script = """
        import azure.functions as func
        app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
        @app.route()
        def decorated(req): return "v2"
    """
    files = {"function_app.py": script, **folder("folder", [OPEN, RETURN], "def main(req): return 'v1'\n")}
    host = start_host(app_of(files))
    assert host.call("/api/decorated", b"x")[:2] == (200, b"v2")
    assert host.call("/api/folder", b"x")[0] == 404
