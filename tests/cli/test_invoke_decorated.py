"""`fnpack invoke` on a v2 app, whose functions only its code can tell."""

from __future__ import annotations

import json
import uuid

import pytest
from azure.storage.blob import BlobServiceClient

from fnpack.cli.exit_codes import ExitCode

APP = """
    import azure.functions as func
    print("imported")
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="say/hello", methods=["POST"])
    def hello(req: func.HttpRequest) -> str:
        return "hello " + req.get_json()["name"]

    @app.route(route="items/{id}")
    def item(req: func.HttpRequest) -> str:
        return req.route_params["id"]

    @app.blob_trigger(arg_name="given", path="%BOX%/{name}.txt", connection="STORE")
    @app.blob_output(arg_name="$return", path="%BOX%/{name}.out", connection="STORE")
    def upper(given: func.InputStream) -> str:
        return given.read().decode().upper()
"""


@pytest.fixture
def app(fnpack, app_of):
    return app_of({"function_app.py": APP})


def test_http_function_of_a_decorated_app_is_called_at_its_route(fnpack, app, start_host, azurite) -> None:
    settings = {"STORE": azurite.connection_string, "BOX": f"box-{uuid.uuid4().hex[:8]}"}
    host = start_host(app, settings=settings)
    call = ("invoke", str(app), "--url", host.url, "--function")
    ended = fnpack(*call, "hello", "--data", '{"name": "Ada"}', settings=settings)
    assert (ended.code, ended.stdout) == (0, "hello Ada\n")
    assert "imported" in ended.stderr
    as_json = fnpack(*call, "HELLO", "--data", '{"name": "Ada"}', "--json", settings=settings)
    assert json.loads(as_json.stdout)["output"] == "hello Ada"
    refused = fnpack(*call, "item", "--data", "1")
    assert refused.code == ExitCode.FAILED
    assert "the route `items/{id}` has parameters" in refused.stderr


def test_blob_function_of_a_decorated_app_is_given_a_blob(fnpack, app, start_host, azurite) -> None:
    settings = {"STORE": azurite.connection_string, "BOX": f"box-{uuid.uuid4().hex[:8]}"}
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        with service.create_container(settings["BOX"]):
            pass
        start_host(app, settings=settings)
        ended = fnpack("invoke", str(app), "--function", "upper", "--data", "abc", settings=settings)
        service.delete_container(settings["BOX"])
    assert (ended.code, ended.stdout) == (0, "ABC\n")


def test_wrong_name_is_answered_with_the_names_that_the_code_has(fnpack, app) -> None:
    several = fnpack("invoke", str(app), "--data", "1")
    assert "the app has several functions: hello, item, upper" in several.stderr
    wrong = fnpack("invoke", str(app), "--data", "1", "--function", "helo")
    assert wrong.code == ExitCode.FAILED
    assert "did you mean `--function hello`?" in wrong.stderr


def test_script_that_cannot_be_imported_is_shown(fnpack, app_of) -> None:
    app = app_of({"function_app.py": "import no_such_module\n"})
    ended = fnpack("invoke", str(app), "--data", "1")
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
    assert "No module named 'no_such_module'" in ended.stderr
    assert "Error FN501" in ended.stderr


def test_function_that_cannot_run_says_why(fnpack, app_of) -> None:
    script = APP + "\n    @app.route(route='x')\n    def broken(req, other): ...\n"
    ended = fnpack("invoke", str(app_of({"function_app.py": script})), "--data", "1", "--function", "broken")
    assert "function broken cannot run" in ended.stderr
    assert "Hint: correct function_app.py" in ended.stderr
