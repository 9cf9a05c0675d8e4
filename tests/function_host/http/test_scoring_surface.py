"""SDK v1's HTTP side of an app: routes, keys, origins of other sites, limits of time, the API document and its page."""

from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sdk_v1_rows import SCHEMA, SEEN

from fnpack_host import __version__ as host_version
from fnpack_host.http import scoring_surface

AS_JSON = {"Content-Type": "application/json"}
RETURN = {"type": "http", "direction": "out", "name": "$return"}
PLAIN = "def init(): pass\ndef run(data): return [data]\n"
SLOW = """
import asyncio, time
def init(): pass
{run}(data):
    try:
        {sleep}(float(data))
    except Exception:
        return "swallowed"
    return [data]
"""


def document(host, version=""):
    status, body, headers = host.call(f"/swagger.json{version}", None)
    assert (status, headers["content-type"]) == (200, "application/json"), body
    return json.loads(body)


# --- routes ---


def test_both_routes_reach_the_script(scoring_host):
    host = scoring_host(PLAIN)
    assert host.call("/score", b"x", headers=AS_JSON)[:2] == (200, b'["x"]')
    assert host.call("/api/score", b"x", headers=AS_JSON)[:2] == (200, b'["x"]')


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_other_methods_of_score_are_405_and_say_which_there_are(scoring_host, method):
    status, _, headers = scoring_host(PLAIN).call("/score", None, method=method)
    assert (status, headers["allow"]) == (405, "GET, POST, OPTIONS")


def test_probe_may_be_a_head_request_but_no_post(scoring_host):
    host = scoring_host(PLAIN)
    assert host.call("/", None, method="HEAD")[:2] == (200, b"")
    assert host.call("/", b"", method="POST")[0] == 405


def test_route_of_another_function_wins(app_of, scoring_app, start_host):
    app = scoring_app(PLAIN)
    trigger = {
        "type": "httpTrigger",
        "direction": "in",
        "name": "req",
        "authLevel": "anonymous",
        "route": "docs",
    }
    files = {
        "app/own/function.json": json.dumps({"bindings": [trigger, RETURN]}),
        "app/own/__init__.py": "def main(req): return 'own'\n",
        "app/host.json": '{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}',
    }  # fmt: skip
    app_of(files, name="")
    host = start_host(app)
    assert host.call("/docs", None)[:2] == (200, b"own")
    assert host.call("/score", b"x", headers=AS_JSON)[:2] == (200, b'["x"]')
    assert host.call("/score", b"x", method="PUT")[0] == 405
    assert host.call("/", None)[1] == b"Healthy"


def test_app_without_an_http_script_has_none_of_it(app_of, start_host):
    trigger = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
    bindings = {"bindings": [trigger, RETURN]}
    app = app_of({"f/function.json": json.dumps(bindings), "f/__init__.py": "def main(req): return 'x'\n"})
    host = start_host(app)
    assert b"up and running" in host.call("/", None)[1]
    for path in ("/score", "/swagger.json", "/docs"):
        assert host.call(path, None)[0] == 404


def test_while_the_script_loads_a_probe_gets_503(scoring_app, start_host, wait_until, free_port):
    port = free_port()
    app = scoring_app("import time\ndef init(): time.sleep(3)\ndef run(data): return 0\n")
    host = start_host(app, "--port", str(port), ready=False)
    host.url = f"http://127.0.0.1:{port}"

    def status():
        try:
            return host.call("/", None)[0]
        except OSError:
            return 0

    assert wait_until(status, interval_s=0.02) == 503
    wait_until(lambda: status() == 200, what="ready")


def test_error_bodies_of_the_limits_are_json(scoring_app, start_host):
    app = scoring_app("import time\ndef init(): pass\ndef run(data):\n    time.sleep(0.5)\n    return 1\n")
    host = start_host(app, settings={"AzureFunctionsJobHost__extensions__http__maxOutstandingRequests": "1"})
    with ThreadPoolExecutor(3) as threads:
        answers = sorted(threads.map(lambda _: host.call("/score", b"x")[:2], range(3)))
    assert [status for status, _ in answers] == [200, 429, 429]
    assert "waiting" in json.loads(answers[1][1])["message"]


def test_versions_are_one():
    from fnpack import __version__

    assert host_version == __version__


# --- keys ---


@pytest.fixture(scope="module")
def guarded(scoring_host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    settings = {"FUNCTIONS_SECRETS_PATH": str(folder), "AzureWebJobsStorage": ""}
    host = scoring_host(SCHEMA, auth_level="function", arguments=("--enable-auth",), settings=settings)
    return host, json.loads((folder / "score.json").read_text())["keys"][0]["value"]


def test_bearer_key_and_functions_key_open_both_routes(guarded):
    host, key = guarded
    body = b'{"data": [[1, 2]]}'
    for route in ("/score", "/api/score"):
        assert host.call(route, body)[0] == 401
        for headers, status in (
            ({"Authorization": f"Bearer {key}"}, 200),
            ({"authorization": f"bearer  {key}"}, 200),
            ({"x-functions-key": key}, 200),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Basic {key}"}, 401),
            ({"Authorization": "Bearer"}, 401),
            ({"Authorization": f"Bearer {key}", "x-functions-key": "wrong"}, 401),
        ):
            assert host.call(route, body, headers={**headers, **AS_JSON})[0] == status, (route, headers)
        assert host.call(f"{route}?code={key}", body, headers=AS_JSON)[0] == 200
    assert "Bearer KEY" in json.loads(host.call("/score", body)[1])["message"]
    assert key not in host.log


def test_bearer_key_is_for_scripts_alone(app_of, start_host, tmp_path):
    trigger = {"type": "httpTrigger", "direction": "in", "name": "req"}
    bindings = {"bindings": [trigger, RETURN]}
    app = app_of({"f/function.json": json.dumps(bindings), "f/__init__.py": "def main(req): return 'x'\n"})
    settings = {"FUNCTIONS_SECRETS_PATH": str(tmp_path / "keys"), "AzureWebJobsStorage": ""}
    host = start_host(app, "--enable-auth", settings=settings)
    key = json.loads((tmp_path / "keys" / "f.json").read_text())["keys"][0]["value"]
    assert host.call("/api/f", b"", headers={"Authorization": f"Bearer {key}"})[0] == 401
    assert host.call("/api/f", b"", headers={"x-functions-key": key})[0] == 200


def test_probe_and_page_need_no_key_but_the_document_does(guarded):
    host, key = guarded
    assert host.call("/", None)[:2] == (200, b"Healthy")
    assert host.call("/docs", None)[0] == 200
    assert host.call("/swagger.json", None)[0] == 401
    status, body, _ = host.call("/swagger.json?version=3", None, headers={"Authorization": f"Bearer {key}"})
    assert status == 200
    guards = json.loads(body)
    assert set(guards["components"]["securitySchemes"]) == {"Bearer", "FunctionsKey"}
    assert guards["paths"]["/score"]["post"]["security"] == [{"Bearer": []}, {"FunctionsKey": []}]
    assert "security" not in guards["paths"]["/"]["get"]


# --- other sites' pages ---


def test_without_origins_nothing_is_said_of_them(scoring_host):
    _, _, headers = scoring_host(PLAIN).call("/score", b"x", headers={"Origin": "https://a.example"})
    assert headers["access-control-allow-origin"] is None


def test_pages_of_named_origins_may_call(scoring_host):
    host = scoring_host(PLAIN, settings={"AML_CORS_ORIGINS": "https://a.example, https://b.example/"})
    asks = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
    for path in ("/score", "/api/score", "/swagger.json"):
        status, body, headers = host.call(path, None, method="OPTIONS", headers=asks)
        assert (status, body) == (200, b"")
        assert headers["access-control-allow-origin"] == "https://b.example"
        assert headers["access-control-allow-methods"] == "GET, POST"
        assert headers["access-control-allow-headers"] == "authorization,content-type"
        assert headers["vary"] == "Origin"
        _, _, headers = host.call(path, None, headers={"Origin": "https://a.example"})
        assert headers["access-control-allow-origin"] == "https://a.example"
    for origin in ("https://c.example", "https://a.example.evil", "null"):
        _, _, headers = host.call("/score", None, method="OPTIONS", headers={**asks, "Origin": origin})
        assert headers["access-control-allow-origin"] is None
        assert host.call("/score", b"x", headers={"Origin": origin})[2]["access-control-allow-origin"] is None
    assert host.call("/score", None, method="OPTIONS", headers={"Origin": "https://a.example"})[0] == 200


def test_star_allows_all_but_never_the_admin(scoring_host):
    host = scoring_host(PLAIN, settings={"AML_CORS_ORIGINS": "*"})
    asks = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
    assert host.call("/score", b"x", headers=asks)[2]["access-control-allow-origin"] == "*"
    assert host.call("/nothing", None, headers=asks)[2]["access-control-allow-origin"] == "*"
    for path in ("/admin/functions", "/Admin/host/status", "/runtime/webhooks/blobs"):
        for method in ("GET", "OPTIONS"):
            _, _, headers = host.call(path, None, method=method, headers=asks)
            assert headers["access-control-allow-origin"] is None, (path, method)


def test_origins_of_the_inference_configuration_count(scoring_app, start_host):
    app = scoring_app(PLAIN, variables={"AML_CORS_ORIGINS": "https://a.example"})
    _, _, headers = start_host(app).call("/score", b"x", headers={"Origin": "https://a.example"})
    assert headers["access-control-allow-origin"] == "https://a.example"


# --- limits of time ---


@pytest.mark.parametrize(
    "script",
    [
        SLOW.format(run="def run", sleep="time.sleep"),
        SLOW.format(run="async def run", sleep="await asyncio.sleep"),
    ],
    ids=["sync", "async"],
)
def test_call_over_the_scoring_timeout_is_500_and_the_worker_goes_on(scoring_host, script):
    host = scoring_host(script, settings={"SCORING_TIMEOUT_MS": "200"})
    status, body, headers = host.call("/score", b"30", headers=AS_JSON)
    assert (status, json.loads(body)) == (500, {"message": "Scoring timeout after 200 ms"})
    assert headers["x-ms-run-function-failed"] == "True"
    assert host.call("/api/score", b"30", headers=AS_JSON)[:2] == (status, body)
    assert host.call("/score", b"0", headers=AS_JSON)[:2] == (200, b'["0"]')
    assert "ended unexpectedly" not in host.log


def test_timeout_that_is_none_stops_the_host(scoring_app, start_host):
    host = start_host(scoring_app(PLAIN), settings={"SCORING_TIMEOUT_MS": "soon"}, ready=False)
    assert host.process.wait(20) == 3
    assert "SCORING_TIMEOUT_MS is 'soon'" in host.log


# --- variables and files ---


def test_config_file_beside_the_script_and_a_variable_wins(scoring_host):
    config = {
        "SERVICE_NAME": "from file",
        "SERVICE_VERSION": "7",
        "SERVICE_PATH_PREFIX": "x/y/",
        "workspace_name": "w",
    }
    host = scoring_host(
        PLAIN, files={"config.json": json.dumps(config)}, settings={"SERVICE_NAME": "from variable"}
    )
    made = document(host)
    assert (made["info"]["title"], made["info"]["version"]) == ("from variable", "7")
    assert set(made["paths"]) == {"/x/y/", "/x/y/score", "/x/y/swagger.json"}


def test_server_version_can_be_kept_back(scoring_host):
    host = scoring_host(PLAIN, settings={"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false"})
    assert host.call("/score", b"x")[2]["x-ms-server-version"] is None


LOGS = """
import logging
def init(): logging.getLogger("mine").debug("told in detail")
def run(data): return 0
"""


def test_log_level_and_logging_file(scoring_host):
    host = scoring_host(LOGS, settings={"AZUREML_LOG_LEVEL": "debug"})
    host.wait_log("told in detail")
    logging_file = {"version": 1, "formatters": {"own": {"format": "<<%(message)s>>"}},
                    "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
                    "root": {"level": "DEBUG", "handlers": ["own"]}}  # fmt: skip
    host = scoring_host(LOGS, files={"logging.json": json.dumps(logging_file)})
    host.wait_log("<<told in detail>>")


def test_worker_count_of_sdk_v1(scoring_host):
    host = scoring_host("import os\ndef init(): print('worker', os.getpid())\ndef run(data): return 0\n",
                        settings={"WORKER_COUNT": "2"})  # fmt: skip
    assert len(set(re.findall(r"worker (\d+)", host.log))) == 2


# --- the API document ---


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [("", "swagger", "2.0"), ("?version=2", "swagger", "2.0"), ("?version=2.0", "swagger", "2.0"),
     ("?version=3", "openapi", "3.0.3"), ("?version=3.0", "openapi", "3.0.3"), ("?version=3.1", "openapi", "3.1.0")],
)  # fmt: skip
@pytest.mark.parametrize("without", [("azureml",), ("azureml", "inference_schema")], ids=["real", "stand-in"])
def test_document_of_each_version_describes_the_schema(scoring_host, query, field, value, without):
    made = document(scoring_host(SCHEMA, without=without), query)
    assert made[field] == value
    schemas = made["definitions"] if field == "swagger" else made["components"]["schemas"]
    given = schemas["ServiceInput"]
    assert given["required"] == ["data"]
    assert given["example"] == {"data": [[1.0, 2.0]], "scale": 1.5}
    assert given["properties"]["scale"] == {"type": "number", "format": "double"}
    assert given["properties"]["data"]["format"] == "numpy.ndarray"
    assert given["properties"]["data"]["items"]["items"] == {"type": "number", "format": "double"}
    assert schemas["ServiceOutput"]["items"] == {"type": "number", "format": "double"}
    operations = {o["operationId"] for path in made["paths"].values() for o in path.values()}
    assert operations == {"ServiceHealthCheck", "RunMLService", "GetSwaggerSpec"}


def test_undecorated_script_has_empty_object_schemas(scoring_host):
    schemas = document(scoring_host(SEEN))["definitions"]
    assert schemas["ServiceInput"] == schemas["ServiceOutput"] == {"type": "object", "example": {}}


MIXED = """
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", StandardPythonParameterType([1, "a", [2.5]]))
def run(data, request_headers): return data
"""


@pytest.mark.parametrize("without", [("azureml",), ("azureml", "inference_schema")], ids=["real", "stand-in"])
def test_list_of_several_types_has_no_swagger_2(scoring_host, without):
    host = scoring_host(MIXED, without=without)
    status, body, _ = host.call("/swagger.json", None)
    assert status == 404
    assert "3.0, 3.1" in json.loads(body)["message"]
    given = document(host, "?version=3.1")["components"]["schemas"]["ServiceInput"]
    assert set(given["properties"]) == set(given["example"]) == {"data"}


def test_function_that_is_disabled_has_no_document(app_of, scoring_app, start_host):
    app = scoring_app(PLAIN)
    trigger = {"type": "httpTrigger", "direction": "in", "name": "req"}
    files = {
        "app/own/function.json": json.dumps({"bindings": [trigger, RETURN]}),
        "app/own/__init__.py": "def main(req): return 'own'\n",
    }
    app_of(files, name="")
    host = start_host(app, settings={"AzureWebJobs.score.Disabled": "1"})
    for path in ("/score", "/swagger.json"):
        status, body, _ = host.call(path, None)
        assert (status, json.loads(body)) == (404, {"message": "the function is disabled"})
    assert host.call("/", None)[0] == 200


def test_document_says_nothing_of_keys_where_none_are_asked_for(scoring_host):
    made = document(scoring_host(PLAIN, auth_level="function"))
    assert "securityDefinitions" not in made
    assert "security" not in made["paths"]["/score"]["post"]


def test_documents_of_the_app_win(scoring_host):
    files = {
        "swagger.json": '{"mine": 2}',
        "swagger2.json": '{"mine": "other"}',
        "swagger3.json": '{"mine": 3}',
    }
    host = scoring_host(PLAIN, files=files)
    assert document(host) == document(host, "?version=2.0") == {"mine": 2}
    assert document(host, "?version=3") == {"mine": 3}
    assert document(host, "?version=3.1")["openapi"] == "3.1.0"


def test_document_of_an_async_script(scoring_host):
    assert document(scoring_host("def init(): pass\nasync def run(data): return 0\n"))["swagger"] == "2.0"


# --- the page ---


# Clicks until there is an answer: the page may draw itself anew under a click.
EXECUTE = """(() => {
  const operation = document.querySelector(".opblock-post");
  const table = operation && operation.querySelector(".live-responses-table .response");
  if (!table && operation.querySelector(".execute") && Date.now() > (window.clickAgain || 0)) {
    window.clickAgain = Date.now() + 3000;
    operation.querySelector(".execute").click();
  }
  return table;
})()"""
SHOWN = "document.querySelector('.opblock-post .live-responses-table .response').innerText"


def test_page_shows_the_api_and_calls_it_without_a_network(scoring_host, browser, tmp_path):
    host = scoring_host(SCHEMA)
    browser.open(f"{host.url.replace('localhost', '127.0.0.1')}/docs")
    browser.wait_for("document.querySelector('.opblock-post textarea').value.includes('\"scale\": 1.5')")
    browser.wait_for(EXECUTE)
    shown = browser.run(SHOWN)
    assert shown.split()[0] == "200"
    assert "4.5" in shown
    assert all(url.startswith(("http://127.0.0.1", "data:")) for url in browser.requested), browser.requested
    assert not browser.said
    browser.screenshot(tmp_path / "docs.png")


def test_page_asks_for_a_key_where_one_is_needed(guarded, browser):
    host, key = guarded
    browser.open(f"{host.url.replace('localhost', '127.0.0.1')}/docs")
    browser.wait_for("!document.getElementById('key').hidden")
    give = "document.getElementById('given').value = {0}; document.querySelector('#key button').click()"
    browser.run(give.format(json.dumps("wrong")))
    browser.wait_for("document.getElementById('said').innerText.includes('does not open')")
    browser.run(give.format(json.dumps(key)))
    browser.wait_for(EXECUTE)
    assert browser.run(SHOWN).split()[0] == "200"


def test_page_is_plain_for_clients_without_gzip_and_has_no_other_files(scoring_host):
    host = scoring_host(PLAIN)
    plain = host.call("/docs/swagger-ui.css", None)
    packed = host.call("/docs/swagger-ui.css", None, headers={"Accept-Encoding": "gzip"})
    import gzip

    assert plain[0] == packed[0] == 200
    assert gzip.decompress(packed[1]) == plain[1]
    assert b".swagger-ui" in plain[1]
    assert "default-src 'none'" in plain[2]["content-security-policy"]
    assert host.call("/docs", b"", method="POST")[0] == 405
    for path in ("/docs/", "/docs/VERSION", "/docs/../score.py", "/docs/page.html"):
        assert host.call(path, None)[0] in (400, 404), path


def test_log_of_requests_hides_every_spelling_of_the_key(caplog):
    answer = scoring_surface._Answer({"method": "GET", "query_string": b"Code=s3cret&x=1&code=s3cret"})
    answer._status = 200
    with caplog.at_level(logging.INFO):
        answer.log("/score")
    assert "s3cret" not in caplog.text
    assert "x=1" in caplog.text
