"""Apps of the decorator model: `function_app.py` is imported in the worker, which tells the host what is in it."""

import json

import pytest

APP = """
    import json
    import azure.functions as func
    from more.extra import bp
    import helper

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    app.register_functions(bp)

    @app.route(route="hello/{name?}", methods=["GET", func.HttpMethod.POST])
    def hello(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(f"{helper.GREETING} {req.params.get('who')}", status_code=201)

    @app.function_name(name="other-name")
    @app.route()
    async def something(req: func.HttpRequest, context: func.Context) -> str:
        return json.dumps([context.function_name, context.function_directory])

    @app.route(route="guarded", auth_level=func.AuthLevel.FUNCTION)
    def guarded(req: func.HttpRequest) -> str:
        return "in"

    @app.route(route="mismatch")
    def mismatch(req: func.HttpResponse) -> str:
        return "x"

    @app.generic_trigger(arg_name="req", type="httpTrigger", route="generic", authLevel="anonymous")
    @app.generic_output_binding(arg_name="$return", type="http")
    def generic(req):
        return "generic " + req.method
"""
FILES = {
    "function_app.py": APP,
    "helper.py": "GREETING = 'hello'\n",
    "more/__init__.py": "",
    "more/extra.py": """
        import azure.functions as func
        bp = func.Blueprint()
        @bp.route(route="blue", auth_level=func.AuthLevel.ANONYMOUS)
        def blue(req: func.HttpRequest) -> str:
            return "print"
    """,
    # a folder of the v1 model beside function_app.py is not looked at
    "old/function.json": '{"bindings": [{"type": "httpTrigger", "name": "req", "authLevel": "anonymous"}]}',
    "old/__init__.py": "def main(req): pass\n",
}


@pytest.fixture(scope="module")
def host(host_of):
    return host_of(FILES)


def listed(host):
    return {f["name"]: f for f in json.loads(host.call("/admin/functions", None)[1])}


def test_functions_of_the_app_and_of_its_blueprints_are_found(host):
    assert set(listed(host)) == {"hello", "other-name", "guarded", "mismatch", "blue", "generic"}


def test_route_methods_and_return_value(host):
    assert host.call("/api/hello/x?who=you", None)[:2] == (201, b"hello you")
    assert host.call("/api/hello/x", b"", method="PUT")[0] == 404
    assert host.call("/api/blue", None)[:2] == (200, b"print")
    assert host.call("/api/generic", None)[:2] == (200, b"generic GET")


def test_context_has_the_given_name_and_the_folder_of_the_code(host):
    name, directory = json.loads(host.call("/api/other-name", b"")[1])
    assert name == "other-name"
    assert directory.endswith("/app")


def test_mismatch_stops_that_function_only(host):
    functions = listed(host)
    assert "does not match its Python annotation" in functions["mismatch"]["error"]
    assert "error" not in functions["hello"]
    assert host.call("/api/mismatch", None)[0] == 500


def test_ready_lines_say_where_the_functions_are(host):
    assert f"hello: [GET,POST] {host.url}/api/hello/{{name?}}" in host.log


def test_auth_level_of_the_app_is_the_default(app_of, start_host, tmp_path):
    settings = {"FUNCTIONS_SECRETS_PATH": str(tmp_path / "keys"), "AzureWebJobsStorage": ""}
    host = start_host(app_of(FILES), "--enable-auth", settings=settings)
    assert host.call("/api/hello/x", None)[0] == 201
    assert host.call("/api/guarded", None)[0] == 401
    key = json.loads((tmp_path / "keys" / "guarded.json").read_text())["keys"][0]["value"]
    assert host.call("/api/guarded", None, headers={"x-functions-key": key})[:2] == (200, b"in")


def test_script_may_have_another_name(app_of, start_host):
    files = {
        "main_app.py": """
            import azure.functions as func
            app = func.FunctionApp()
            @app.route(route="x")
            def x(req): return "main_app"
        """
    }
    host = start_host(app_of(files), settings={"PYTHON_SCRIPT_FILE_NAME": "main_app.py"})
    assert host.call("/api/x", None)[:2] == (200, b"main_app")


def test_asgi_and_wsgi_apps_answer_all_paths(app_of, start_host):
    script = """
        import azure.functions as func
        async def asgi(scope, receive, send):
            if scope["type"] != "http":
                await receive()
                return await send({"type": "lifespan.startup.complete"})
            body = (await receive())["body"]
            headers = [(b"content-type", b"text/x")]
            await send({"type": "http.response.start", "status": 203, "headers": headers})
            await send({"type": "http.response.body", "body": scope["path"].encode() + body})
        app = func.AsgiFunctionApp(app=asgi, http_auth_level=func.AuthLevel.ANONYMOUS)
    """
    host_json = '{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}'
    host = start_host(app_of({"function_app.py": script, "host.json": host_json}))
    answer = host.call("/any/path", b" and body")
    assert (answer[0], answer[1], answer[2]["content-type"]) == (203, b"/any/path and body", "text/x")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import azure.functions as func\nraise ValueError('at import')\n", "ValueError: at import"),
        ("import azure.functions as func\n", "has no top-level function app instance"),
        (
            "import azure.functions as func\na = func.FunctionApp()\nb = func.FunctionApp()\n",
            "has more than one top-level function app instance",
        ),
        (
            "import azure.functions as func\napp = func.FunctionApp()\n@app.function_name(name='f')\ndef f(): pass\n",
            "Function f does not have a trigger",
        ),
        ("import azure.functions as func\napp = func.FunctionApp()\n", "no function of"),
    ],
)
def test_app_that_cannot_be_indexed_stops_the_host_with_3_and_the_reason(app_of, start_host, script, says):
    host = start_host(app_of({"function_app.py": script}), ready=False)
    assert host.process.wait(20) == 3
    assert says in host.log
