"""The admin endpoints, keys, limits and headers, through the real host process."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

SCRIPT = """
import azure.functions as func, logging, os, time
def main(req: func.HttpRequest):
    logging.warning("body %s", req.get_body())
    if req.params.get("sleep"): time.sleep(float(req.params["sleep"]))
    return f"{os.getpid()} {dict(req.route_params)} {req.get_body().decode()} {req.url}"
"""
HTTP = """{{"bindings": [
    {{"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "{level}", "route": "{route}"}},
    {{"type": "http", "direction": "out", "name": "$return"}}]}}"""


def function(name, level="anonymous", route=None):
    return {
        f"{name}/function.json": HTTP.format(level=level, route=route or name),
        f"{name}/__init__.py": SCRIPT,
    }


FILES = {
    "host.json": """{"version": "2.0", "extensions": {"http": {
        "customHeaders": {"X-Frame-Options": "DENY"}, "hsts": {"isEnabled": true, "maxAge": "10.00:00:00"}}}}""",
    **function("open", route="open/{id:int?}"),
    **function("guarded", "function"),
    **function("inner", "admin"),
    **function("off"),
    **function("broken", route="items/{id"),
}


@pytest.fixture(scope="module")
def key_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def host(host_of, key_folder):
    settings = {"FUNCTIONS_SECRETS_PATH": str(key_folder), "AzureWebJobsStorage": ""}
    return host_of(FILES, {**settings, "AzureWebJobs.off.Disabled": "true"}, ["--enable-auth"])


@pytest.fixture
def admin(host, key_folder):
    master = json.loads((key_folder / "host.json").read_text())["masterKey"]["value"]

    def call(method, path, body=None, key=master):
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        status, answer, _ = host.call(path, content, method=method, headers={"x-functions-key": key})
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, answer

    return call


def test_function_keys_are_listed_made_set_and_deleted(host, admin):
    path = "/admin/functions/Guarded/keys"
    status, listed = admin("GET", path)
    assert (status, [key["name"] for key in listed["keys"]]) == (200, ["default"])
    assert listed["links"][0]["href"].endswith("/admin/functions/guarded/keys")
    status, made = admin("POST", f"{path}/mine")
    assert (status, made["name"]) == (201, "mine")
    assert host.call("/api/guarded", headers={"x-functions-key": made["value"]})[0] == 200
    assert admin("PUT", f"{path}/mine", {"name": "mine", "value": "chosen-key"})[0] == 200
    assert host.call(f"/api/guarded?code={made['value']}")[0] == 401
    assert host.call("/api/guarded?code=chosen-key")[0] == 200
    assert admin("GET", f"{path}/mine")[1]["value"] == "chosen-key"
    assert admin("DELETE", f"{path}/mine") == (204, b"")
    assert admin("DELETE", f"{path}/mine")[0] == 404
    assert host.call("/api/guarded?code=chosen-key")[0] == 401
    assert "chosen-key" not in host.log


@pytest.mark.parametrize("scope", ["keys", "functionkeys"])
def test_host_function_keys_open_every_function_of_that_level(host, admin, scope):
    value = admin("PUT", f"/admin/host/{scope}/all", {"value": f"key-{scope}"})[1]["value"]
    assert host.call(f"/api/guarded?code={value}")[0] == 200
    assert host.call(f"/api/inner?code={value}")[0] == 401
    assert admin("GET", "/admin/functions", key=value)[0] == 401


def test_system_keys_hold_the_master_key_by_name_only(admin):
    assert admin("POST", "/admin/host/systemkeys/x")[0] == 201
    assert [key["name"] for key in admin("GET", "/admin/host/systemkeys")[1]["keys"]] == ["x"]
    assert admin("GET", "/admin/host/systemkeys/_master")[0] == 200
    assert admin("DELETE", "/admin/host/systemkeys/_master")[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/admin/functions/guarded/keys/x", {"name": "x"}, 400),
        ("PUT", "/admin/functions/guarded/keys/x", b"no json", 400),
        ("GET", "/admin/functions/guarded/keys/none", None, 404),
        ("GET", "/admin/functions/none/keys", None, 404),
        ("GET", "/admin/functions/..%2f..%2fhost/keys", None, 404),
        ("GET", "/admin/host/otherkeys", None, 404),
        ("GET", "/admin/nothing", None, 404),
        ("GET", "/admin/functions/none", None, 404),
        ("POST", "/admin/functions/none", {"input": ""}, 404),
        ("POST", "/admin/functions/open", None, 400),
        ("POST", "/admin/functions/open", b"[]", 400),
    ],
)
def test_bad_admin_request_is_refused(admin, method, path, body, status):
    assert admin(method, path, body)[0] == status


@pytest.mark.parametrize(
    "path", ["/admin/host/status", "/admin/host/keys", "/ADMIN/functions", "/admin/./host/status"]
)
def test_admin_endpoints_need_the_master_key(host, path):
    assert host.call(path, None)[0] == 401
    assert host.call(path, None, headers={"x-functions-key": "wrong"})[0] == 401


def test_disabled_function_is_for_the_admin_alone(host, admin):
    assert host.call("/api/off")[0] == 404
    assert admin("POST", "/api/off", b"")[0] == 200


def test_function_with_an_unusable_route_is_listed_and_404(host, admin):
    described = {one["name"]: one for one in admin("GET", "/admin/functions")[1]}
    assert "a `{` is not closed" in described["broken"]["error"]
    assert admin("GET", "/admin/functions/broken/status")[1]["errors"]
    assert admin("GET", "/admin/functions/open/status")[1] == {}
    assert any(error.startswith("broken: ") for error in admin("GET", "/admin/host/status")[1]["errors"])
    assert host.call("/api/items/1")[0] == 404


def test_route_values_reach_the_function(host):
    assert b"{'id': '7'}" in host.call("/api/open/7")[1]
    assert b" {} " in host.call("/api/open")[1]
    assert host.call("/api/open/x")[0] == 404
    assert b"/api/open/7?a=%20b" in host.call("/api/./x/../open/%37?a=%20b")[1]


def test_http_function_is_started_by_hand_with_the_given_body(host, admin):
    assert admin("POST", "/admin/functions/open", {"input": "by hand"}) == (202, b"")
    host.wait_log("body b'by hand'")


def test_workers_are_replaced_and_calls_in_flight_finish(host, admin):
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(host.call, "/api/open?sleep=1")
        time.sleep(0.3)
        before = host.call("/api/open")[1].split()[0]
        assert admin("POST", "/admin/host/restart")[0] == 200
        after = host.call("/api/open")[1].split()[0]
        assert before != after
        assert running.result()[1].split()[0] == before


def test_drain_is_told_and_http_goes_on(host, admin):
    assert admin("POST", "/admin/host/drain")[0] == 202
    assert admin("GET", "/admin/host/status")[1]["state"] == "Draining"
    assert admin("GET", "/admin/host/drain/status")[1]["state"] == "Completed"
    assert host.call("/api/open")[0] == 200
    assert host.call("/admin/host/ping", None)[0] == 200
    assert admin("POST", "/admin/host/resume") == (200, {"state": "Running"})
    assert admin("GET", "/admin/host/drain/status")[1]["state"] == "Disabled"
    assert admin("POST", "/admin/warmup")[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/open", "/api/none", "/api/guarded", "/admin/host/ping"])
def test_custom_headers_are_on_every_response_and_hsts_over_https(host, path):
    headers = host.call(path, None)[2]
    assert (headers["x-frame-options"], headers["strict-transport-security"]) == ("DENY", None)
    secure = {"x-forwarded-proto": "https", "host": "app.example:443"}
    assert host.call(path, None, headers=secure)[2]["strict-transport-security"] == "max-age=864000"
    assert (
        host.call(path, None, headers={"x-forwarded-proto": "https"})[2]["strict-transport-security"] is None
    )


def test_home_page_names_no_function(host):
    status, page, headers = host.call("/", None)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert not [name for name in ("guarded", "inner", "open/") if name.encode() in page]
    assert host.call("/", None, method="HEAD")[:2] == (200, b"")


def test_webhook_without_its_key_is_401_and_unknown_is_404(host, admin):
    assert host.call("/runtime/webhooks/blobs?functionName=Host.Functions.x")[0] == 401
    assert admin("POST", "/runtime/webhooks/blobs", b"[]")[0] == 404


def test_hidden_home_page_root_route_and_closed_admin_without_a_key_store(start_host, app_of):
    settings = {
        "AzureWebJobsStorage": "",
        "FUNCTIONS_SECRETS_PATH": "",
        "AzureWebJobsDisableHomepage": "true",
    }
    host = start_host(app_of(function("open")), settings=settings, module=True)
    assert host.call("/", None)[:2] == (204, b"")
    assert host.call("/api/open")[0] == 200
    assert host.call("/admin/functions", None)[0] == 401
    assert host.call("/admin/functions?code=x", None)[0] == 401


def test_requests_over_the_concurrency_wait_and_those_over_the_queue_get_429(start_host, app_of):
    settings = {
        "AzureFunctionsJobHost__extensions__http__maxConcurrentRequests": "1",
        "AzureFunctionsJobHost__extensions__http__maxOutstandingRequests": "3",
        "AzureFunctionsJobHost__extensions__http__routePrefix": "",
    }
    host = start_host(app_of(function("f", route="{*path}")), settings=settings)
    assert b"{'path': 'a/b'}" in host.call("/a/b")[1]
    assert host.call("/admin/functions", None)[0] == 200
    started = time.monotonic()
    with ThreadPoolExecutor(6) as threads:
        codes = sorted(threads.map(lambda _: host.call("/x?sleep=0.3")[0], range(6)))
    assert codes == [200, 200, 200, 429, 429, 429]
    assert time.monotonic() - started >= 0.9
