"""How function folders are loaded: imports, scripts, entry points, and what one broken function does to the others."""

import json

import pytest

HTTP = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
RETURN = {"type": "http", "direction": "out", "name": "$return"}
BLOB_OUT = {
    "type": "blob",
    "direction": "out",
    "name": "foo",
    "path": "cont/b",
    "connection": "AzureWebJobsStorage",
}
BLOB_IN = {**BLOB_OUT, "direction": "in"}


def folder(name, script, *, bindings=(HTTP, RETURN), file="__init__.py", **keys):
    definition = json.dumps({"bindings": list(bindings), **keys})
    return {f"{name}/function.json": definition, f"{name}/{file}": script}


GOOD = {
    "shared/__init__.py": "",
    "shared/words.py": "HELLO = 'hello'\n",
    "flat.py": "WORD = 'flat'\n",
    ".python_packages/lib/site-packages/vendored.py": "WORD = 'vendored'\n",
    **folder(
        "relative-import",
        "from ..shared.words import HELLO\nfrom . import beside\n"
        "def main(req): return HELLO + beside.MARK + __name__\n",
    ),
    "relative-import/beside.py": "MARK = '!'\n",
    **folder(
        "namespace_import",
        "from __app__.shared import words\nimport __app__.flat\n"
        "def main(req): return words.HELLO + __app__.flat.WORD\n",
    ),
    **folder(
        "plain_import",
        "import shared.words, flat, vendored\n"
        "def main(req): return shared.words.HELLO + flat.WORD + vendored.WORD\n",
    ),
    **folder(
        "script_file",
        "def handle(req): return __name__\n",
        file="code.py",
        scriptFile="code.py",
        entryPoint="handle",
    ),
    **folder(
        "shared_script",
        "# not used\n",
        scriptFile="../shared/entry.py",
    ),
    "shared/entry.py": "def main(req): return 'shared entry'\n",
    **folder("only_file", "def main(req): return 'only'\n", file="anything.py"),
    **folder("run_file", "def main(req): return 'run'\n", file="run.py"),
    "run_file/__init__.py": "",
    "lenient/function.json": """
        {
          // comments and trailing commas are fine
          "BINDINGS": [
            {"Type": "HTTPTRIGGER", "direction": "IN", "name": "req", "authLevel": "Anonymous",},
            {"type": "HTTP", "Direction": "out", "NAME": "$return"}, /* so are these */
          ],
        }
    """,
    "lenient/__init__.py": "import azure.functions as f\ndef main(req: f.HttpRequest) -> str: return req.method\n",
    **folder(
        "context",
        """
        import json
        import azure.functions as func
        def main(req: func.HttpRequest, context: func.Context) -> str:
            trace = context.trace_context
            return json.dumps({
                "body": [context.function_name, context.function_directory, context.invocation_id,
                         trace.trace_parent, trace.trace_state, context.retry_context.retry_count,
                         context.retry_context.max_retry_count],
            })
        """,
    ),
    **folder(
        "context_is_a_binding",
        "def main(context): return context.method\n",
        bindings=[{**HTTP, "name": "context"}, RETURN],
    ),
    **folder(
        "underscore_binding", "def main(my_req): return 'u'\n", bindings=[{**HTTP, "name": "my_req"}, RETURN]
    ),
}
BROKEN = {
    "missing_py_param": (folder("missing_py_param", "def main(): pass\n"), "not in Python: 'req'"),
    "missing_json_param": (
        folder("missing_json_param", "def main(req, spam): pass\n"),
        "not as bindings: 'spam'",
    ),
    "wrong_param_dir": (
        folder("wrong_param_dir", "def main(req, foo: int): pass\n", bindings=[HTTP, RETURN, BLOB_OUT]),
        'binding foo is declared to have the "out" direction',
    ),
    "bad_out_annotation": (
        folder(
            "bad_out_annotation",
            "import azure.functions as func\ndef main(req, foo: func.Out): pass\n",
            bindings=[HTTP, RETURN, BLOB_OUT],
        ),
        "binding foo has invalid Out annotation",
    ),
    "wrong_binding_dir": (
        folder(
            "wrong_binding_dir",
            "import azure.functions as func\ndef main(req, foo: func.Out[str]): pass\n",
            bindings=[HTTP, RETURN, BLOB_IN],
        ),
        'binding foo is declared to have the "in" direction, but its annotation in Python is azure.functions.Out',
    ),
    "invalid_context_param": (
        folder("invalid_context_param", "def main(req, context: int): pass\n"),
        'the "context" parameter is expected to be of type azure.functions.Context',
    ),
    "syntax_error": (folder("syntax_error", "def main(req) return 1\n"), "SyntaxError"),
    "module_not_found_error": (
        folder("module_not_found_error", "import nothing_of_this_name\ndef main(req): pass\n"),
        "ModuleNotFoundError: No module named 'nothing_of_this_name'; if it is a package, add it to requirements",
    ),
    "import_error": (folder("import_error", "from sys import nothing_here\n"), "ImportError"),
    "raises_on_import": (folder("raises_on_import", "raise ValueError('at once')\n"), "ValueError: at once"),
    "exits_on_import": (folder("exits_on_import", "import sys\nsys.exit(4)\n"), "SystemExit: 4"),
    "no_entry_point": (
        folder("no_entry_point", "def start(req): pass\n", entryPoint="begin"),
        "function begin() is not present in",
    ),
    "inout_param": (
        folder("inout_param", "def main(req): pass\n", bindings=[{**HTTP, "direction": "inout"}, RETURN]),
        "direction is 'inout'",
    ),
    "return_param_in": (
        folder("return_param_in", "def main(req): pass\n", bindings=[HTTP, {**BLOB_IN, "name": "$return"}]),
        '"$return" binding must have direction set to "out"',
    ),
    "invalid_return_anno": (
        folder("invalid_return_anno", "def main(req) -> int: pass\n"),
        'Python return annotation "int" does not match binding type "http"',
    ),
    "invalid_return_anno_non_type": (
        folder("invalid_return_anno_non_type", "def main(req) -> 123: pass\n"),
        "has invalid non-type return annotation 123",
    ),
    "out_as_return_anno": (
        folder("out_as_return_anno", "import azure.functions as f\ndef main(req) -> f.Out[str]: pass\n"),
        "return annotation should not be azure.functions.Out",
    ),
    "invalid_http_trigger_anno": (
        folder("invalid_http_trigger_anno", "def main(req: int): pass\n"),
        'type of req binding "httptrigger" does not match its Python annotation "int"',
    ),
    "invalid_out_anno": (
        folder(
            "invalid_out_anno",
            "import azure.functions as func\ndef main(req, ret: func.Out[func.HttpRequest]): pass\n",
            bindings=[HTTP, {**RETURN, "name": "ret"}],
        ),
        'type of ret binding "http" does not match its Python annotation "HttpRequest"',
    ),
    "invalid_in_anno": (
        folder("invalid_in_anno", "import azure.functions as func\ndef main(req: func.HttpResponse): pass\n"),
        'type of req binding "httptrigger" does not match its Python annotation "HttpResponse"',
    ),
    "invalid_in_anno_non_type": (
        folder("invalid_in_anno_non_type", "def main(req: 123): pass\n"),
        "binding req has invalid non-type annotation 123",
    ),
    "unreadable_anno": (
        folder("unreadable_anno", "from __future__ import annotations\ndef main(req: Nowhere): pass\n"),
        "annotations cannot be read: NameError",
    ),
    "not_python": (
        folder("not_python", "x\n", file="main.txt", scriptFile="main.txt"),
        "invalid Python filename",
    ),
    "outside_the_app": (
        {**folder("outside_the_app", ""), "../elsewhere.py": "def main(req): pass\n"}
        | folder("outside_the_app", "", scriptFile="../../elsewhere.py"),
        "is not below the app's folder",
    ),
    "unknown_binding": (
        folder(
            "unknown_binding", "def main(req, foo): pass\n", bindings=[HTTP, {**BLOB_OUT, "type": "teapot"}]
        ),
        "no such binding type is known",
    ),
    "missing_setting": (
        folder(
            "missing_setting",
            "def main(req, foo): pass\n",
            bindings=[HTTP, {**BLOB_OUT, "connection": "Nowhere"}],
        ),
        "the connection setting `Nowhere` is not set",
    ),
}


@pytest.fixture(scope="module")
def host(host_of):
    files = dict(GOOD)
    for broken, _ in BROKEN.values():
        files |= broken
    return host_of(files, {"AzureWebJobsStorage": "UseDevelopmentStorage=true"})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("relative-import", b"hello!__app__.relative-import"),
        ("namespace_import", b"helloflat"),
        ("plain_import", b"helloflatvendored"),
        ("script_file", b"__app__.script_file.code"),
        ("shared_script", b"shared entry"),
        ("only_file", b"only"),
        ("run_file", b"run"),
        ("lenient", b"POST"),
        ("context_is_a_binding", b"POST"),
        ("underscore_binding", b"u"),
    ],
)
def test_function_is_found_and_runs(host, name, body):
    assert host.call(f"/api/{name}", b"x")[:2] == (200, body)


def test_context_tells_of_the_invocation(host):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": parent, "tracestate": "a=b"}
    answer = host.call("/api/context", b"x", headers=headers)
    name, directory, invocation, trace, state, retries, most = json.loads(answer[1])
    assert name == "context"
    assert directory.endswith("/app/context")
    host.wait_log(f"context {invocation[:8]}: POST request -> 200")
    assert trace.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert trace != parent
    assert (state, retries, most) == ("a=b", 0, 0)


@pytest.mark.parametrize(("name", "says"), [(name, says) for name, (_, says) in BROKEN.items()])
def test_broken_function_is_listed_with_its_error_and_the_others_run(host, name, says):
    functions = {f["name"]: f for f in json.loads(host.call("/admin/functions", None)[1])}
    assert set(BROKEN) <= set(functions)
    assert says in functions[name]["error"]
    assert says in host.log


def test_call_of_a_broken_function_is_500(host):
    for name in ("syntax_error", "invalid_return_anno", "unknown_binding"):
        assert host.call(f"/api/{name}", b"x")[:2] == (500, b"")


def test_traceback_of_a_failed_import_shows_user_code_only(host):
    start = host.log.index("cannot load the import_error function")
    text = host.log[start : host.log.index("ImportError: cannot import name", start)]
    assert "import_error/__init__.py" in text
    assert "importlib" not in text
    assert "fnpack_host" not in text


def test_host_exits_with_3_when_no_function_can_run(app_of, start_host):
    host = start_host(app_of(folder("f", "import nothing_of_this_name\n")), ready=False)
    assert host.process.wait(20) == 3
    assert "function f cannot run: ModuleNotFoundError" in host.log
    assert "no function of" in host.log


def test_app_without_the_library_says_what_to_install(app_of, start_host):
    app = app_of(
        {
            **folder("f", "def main(req): return 'x'\n"),
            # a finder that hides the library, loaded before everything else
            ".python_packages/lib/site-packages/azure/functions/__init__.py": "raise ModuleNotFoundError("
            "\"No module named 'azure.functions'\", name='azure.functions')\n",
            ".python_packages/lib/site-packages/azure/functions/meta.py": "",
        }
    )
    host = start_host(app, ready=False)
    assert host.process.wait(20) == 3
    assert "azure-functions is not installed: add it to the app's requirements.txt" in host.log
    assert "pip install 'fnpack[functions]'" in host.log


def test_library_that_the_app_ships_wins(app_of, start_host, tmp_path):
    import shutil
    from pathlib import Path

    import azure.functions

    app = app_of(folder("f", "import azure.functions as func\ndef main(req): return func.__file__\n"))
    packages = app / ".python_packages" / "lib" / "site-packages"
    shutil.copytree(Path(azure.functions.__file__).parent, packages / "azure" / "functions")
    assert start_host(app).call("/api/f", b"x")[1].startswith(str(packages).encode())
