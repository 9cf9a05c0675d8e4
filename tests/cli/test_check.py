"""Builds that try the app before its image goes anywhere: real child processes, an OCI layout, a real registry."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from plain_base import OTHER_ARCHITECTURE, write_base
from tests.cli.conftest import CommandLine, Ended

from fnpack.cli.exit_codes import ExitCode
from package_index import make_wheel

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="checks run natively on Linux alone"),
]
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fnpack's cache, shared by the tests of this file: the host's packages are fetched once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def build(fnpack: CommandLine, cache: Path, tmp_path: Path) -> Callable[..., Ended]:
    """Builds the project into the layout `out` on a base of a few bytes; `script` is the entry script's text."""
    base = write_base(tmp_path / "base", environment=["FROM_BASE=yes"])

    def run(*arguments: str, script: str = "", code: int = ExitCode.OK, **settings: str) -> Ended:
        if script:
            (fnpack.folder / "score.py").write_text(script)
        options = ["--model", "model.pkl"]
        options += [] if "--trigger" in arguments else ["--auth-level", "anonymous"]
        options += [] if "--base-image" in arguments else ["--base-image", base]
        options += [] if {"--output", "--push"} & set(arguments) else ["--output", "oci-layout:out"]
        settings = {"FNPACK_CACHE": str(cache), **settings}
        ended = fnpack("build", *options, *arguments, settings=settings, timeout_s=110)
        assert ended.code == code, ended.stderr
        return ended

    return run


def failed(ended: Ended, code: str = "FN420") -> str:
    """What a build said that ended with an error."""
    assert ended.stdout == ""
    assert f"Error {code}: " in ended.stderr
    return ended.stderr


def test_sample_is_scored_and_the_result_shown(fnpack, build) -> None:
    (fnpack.folder / "sample.json").write_text('{"rows": [1, 2]}')
    script = (
        "import json, os, pathlib\n"
        "def init():\n    global weights\n"
        "    weights = pathlib.Path(os.environ['AZUREML_MODEL_DIR'], 'model.pkl').read_text()\n"
        "def run(data):\n    return {'sum': sum(json.loads(data)['rows']), 'model': weights}\n"
    )
    ended = build("--sample", "sample.json", script=script)
    assert 'sample.json -> {"sum": 3, "model": "weights"}' in ended.stderr
    assert "+ check (" in ended.stderr
    assert (fnpack.folder / "out" / "index.json").is_file()


def test_raw_script_gets_the_samples_bytes_and_an_event_its_text(fnpack, build) -> None:
    (fnpack.folder / "sample.bin").write_bytes(b"\xff\x00\x01")
    raw = "def init(): pass\ndef run(data: bytes):\n    return {'size': len(data), 'kind': type(data).__name__}\n"
    ended = build("--sample", "sample.bin", script=raw)
    assert '{"size": 3, "kind": "bytes"}' in ended.stderr
    text = "def init(): pass\nasync def run(data):\n    return data.upper()\n"
    (fnpack.folder / "sample.txt").write_text("shout")
    assert "sample.txt -> SHOUT" in build("--sample", "sample.txt", "--trigger", "blob", script=text).stderr


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        ("import sklearn\ndef init(): pass\ndef run(d): pass\n", [],
         ["when the entry script is imported: ModuleNotFoundError: No module named 'sklearn'",
          'File "/home/site/wwwroot/score.py", line 1', "Hint: add `scikit-learn` to requirements.txt"]),
        ("def init():\n    print('so far')\n    raise ValueError('no such thing')\ndef run(d): pass\n", [],
         ["when init() runs: ValueError: no such thing", "  | so far", "line 3, in init"]),
        ("import os\ndef init():\n    open(os.environ['AZUREML_MODEL_DIR'] + '/net.pkl')\ndef run(d): pass\n", [],
         ["when init() runs: FileNotFoundError: ", "'/home/site/wwwroot/azureml-models/model/1/net.pkl'",
          "Hint: AZUREML_MODEL_DIR holds model.pkl"]),
        ("import os\ndef init():\n    os.environ['DATABASE_URL']\ndef run(d): pass\n", [],
         ["when init() runs: KeyError: 'DATABASE_URL'", "the container's settings are not there during a build"]),
        ("import os\ndef init():\n    print('last words')\n    os._exit(7)\ndef run(d): pass\n", [],
         ["when init() runs: its process ended with exit code 7", "  | last words"]),
        ("import os\ndef init():\n    os.kill(os.getpid(), 11)\ndef run(d): pass\n", [],
         ["when init() runs: its process was ended by signal 11", 'line 3 in init']),
        ("def init(): pass\ndef run(d):\n    return d['rows']\n", ["--sample", "sample.json"],
         ["when run() gets the sample: TypeError: ", "line 3, in run"]),
        ("from fnpack_scoring import BadInput\ndef init(): pass\ndef run(d):\n    raise BadInput('rows are missing')\n",
         ["--sample", "sample.json"], ["when run() gets the sample: rows are missing"]),
        ("from azureml.contrib.services.aml_response import AMLResponse\ndef init(): pass\n"
         "def run(d):\n    return AMLResponse('not today', 422)\n",
         ["--sample", "sample.json"], ["when run() gets the sample: it answers with status 422: not today"]),
        ("def init(): pass\ndef run(d):\n    return object()\n", ["--sample", "sample.json"],
         ["when run() gets the sample: run() returned what no JSON can be made of"]),
    ],
)  # fmt: skip
def test_app_that_would_not_score_is_told_and_leaves_nothing(fnpack, build, body, options, said) -> None:
    (fnpack.folder / "sample.json").write_text("{}")
    (fnpack.folder / "score.py").write_text(body)
    before = fnpack.snapshot()
    text = failed(build(*options, code=ExitCode.FAILED))
    for part in said:
        assert part in text
    assert "fnpack_scoring/" not in text.partition("signal 11")[0], "frames of the adapter"
    assert str(fnpack.folder) not in text
    assert "--no-check" in text
    assert fnpack.snapshot() == before
    assert build(*(one for one in options if "sample" not in one), "--no-check").code == ExitCode.OK


@pytest.mark.parametrize("output", [["--output", "oci-layout:out"], ["--output", "docker-archive:out.tar"]])
def test_failed_check_leaves_no_sbom_and_one_that_passes_does(fnpack, build, output) -> None:
    broken = "def init():\n    raise ValueError('broken')\ndef run(d): pass\n"
    (fnpack.folder / "score.py").write_text(broken)
    options = [*output, "--sbom", "new/sbom.json"]
    before = fnpack.snapshot()
    failed(build(*options, code=ExitCode.FAILED))
    assert fnpack.snapshot() == before
    build(*options, script="def init(): pass\ndef run(d): return d\n")
    good = (fnpack.folder / "new" / "sbom.json").read_bytes()
    assert json.loads(good)["bomFormat"] == "CycloneDX"
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")
    failed(build(*options, script=broken, code=ExitCode.FAILED))
    assert (fnpack.folder / "new" / "sbom.json").read_bytes() == good
    assert [path.name for path in (fnpack.folder / "new").iterdir()] == ["sbom.json"]


def test_package_that_does_not_import_fails_the_build(fnpack, build, tmp_path) -> None:
    make_wheel(tmp_path / "links", "half-made", "1.0", text="import half_made.core\n")
    (fnpack.folder / "requirements.txt").write_text("half-made==1.0\n")
    text = failed(
        build(
            script="import half_made\ndef init(): pass\ndef run(d): pass\n",
            code=ExitCode.FAILED,
            PIP_FIND_LINKS=str(tmp_path / "links"),
        )
    )
    assert "ModuleNotFoundError: No module named 'half_made.core'" in text
    assert '"/home/site/wwwroot/.python_packages/lib/site-packages/half_made/__init__.py", line 1' in text


def test_packages_are_those_of_the_lock_and_of_the_host_alone(fnpack, build) -> None:
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")
    script = "import iniconfig, uvicorn, sys\ndef init():\n    print(sys.path)\n    import pytest\ndef run(d): pass\n"
    text = failed(build(script=script, code=ExitCode.FAILED))
    assert "when init() runs: ModuleNotFoundError: No module named 'pytest'" in text
    assert "['/home/site/wwwroot', '/home/site/wwwroot/.python_packages/lib/site-packages'," in text, (
        "as in the image"
    )


def test_module_beside_the_script_that_is_not_shipped_is_told(fnpack, build) -> None:
    (fnpack.folder / "features.py").write_text("")
    text = failed(build(script="import features\ndef init(): pass\ndef run(d): pass\n", code=ExitCode.FAILED))
    assert "features.py lies beside the script and is not shipped: --source-directory" in text


def test_nothing_of_the_callers_environment_reaches_the_script(fnpack, build, tmp_path) -> None:
    (fnpack.folder / "inferenceconfig.json").write_text(
        json.dumps({"entryScript": "score.py", "environment": {"environmentVariables": {"FROM_CONFIG": "1"}}})
    )
    seen = tmp_path / "seen.json"
    script = (
        "import json, os, pathlib, sys\n"
        "def init():\n"
        f"    pathlib.Path({str(seen)!r}).write_text(json.dumps([dict(os.environ), sys.path, os.getcwd()]))\n"
        "def run(d): pass\n"
    )
    build(
        "--inference-config", "inferenceconfig.json", script=script,
        AZURE_CLIENT_SECRET=SECRET, PYTHONPATH="/nowhere", FNPACK_TAG="mine/app:1",
    )  # fmt: skip
    environment, path, folder = json.loads(seen.read_text())
    assert SECRET not in seen.read_text()
    assert environment["FROM_CONFIG"] == "1"
    assert environment["FROM_BASE"] == "yes"
    assert environment["HOME"] != str(fnpack.home)
    assert not [name for name in environment if name.startswith(("FNPACK_TAG", "PYTHON"))]
    assert environment["AZUREML_MODEL_DIR"] == f"{folder}/azureml-models/model/1"
    assert path[0] == folder
    assert "/nowhere" not in path
    assert not [one for one in path if "site-packages" in one and ".python_packages" not in one]


def test_platform_of_another_machine_is_not_checked_and_said_so(build, tmp_path) -> None:
    base = write_base(tmp_path / "other", architecture=OTHER_ARCHITECTURE)
    options = ["--base-image", base, "--platform", f"linux/{OTHER_ARCHITECTURE}"]
    broken = "def init():\n    raise ValueError\ndef run(d): pass\n"
    ended = build(*options, "--json", script=broken)
    why = f"this machine cannot run images for linux/{OTHER_ARCHITECTURE}"
    assert f"- check for linux/{OTHER_ARCHITECTURE}: not done: {why}" in ended.stderr
    assert json.loads(ended.stdout)["check"] == {"status": "skipped", "detail": why}


def test_what_the_base_image_brings_is_not_missed(build, tmp_path) -> None:
    base = write_base(tmp_path / "torch", files=["usr/local/lib/python3/site-packages/torch/__init__.py"])
    script = "import torch\ndef init(): pass\ndef run(d): pass\n"
    ended = build("--base-image", base, script=script)
    assert "not done: `torch` comes with the base image" in ended.stderr
    error = "libGL.so.1: cannot open shared object file: No such file or directory"
    library = f"def init():\n    raise ImportError({error!r})\ndef run(d): pass\n"
    text = failed(build("--base-image", base, script=library, code=ExitCode.FAILED))
    assert "choose a base image that has the system library libGL.so.1" in text


def test_what_did_not_change_is_not_checked_again(fnpack, build, tmp_path) -> None:
    runs = tmp_path / "runs"
    script = f"def init():\n    open({str(runs)!r}, 'a').write('.')\ndef run(data):\n    return data\n"
    (fnpack.folder / "sample.txt").write_text("one")
    build("--sample", "sample.txt", script=script)
    again = build("--sample", "sample.txt")
    assert "= check (cached)" in again.stderr
    assert "sample.txt -> one" in again.stderr
    assert runs.read_text() == "."
    for change in (
        lambda: (fnpack.folder / "sample.txt").write_text("two"),
        lambda: (fnpack.folder / "score.py").write_text(script + "# edited\n"),
        lambda: (fnpack.folder / "model.pkl").write_text("more weights"),
    ):
        before = runs.read_text()
        change()
        build("--sample", "sample.txt")
        assert len(runs.read_text()) == len(before) + 1


def test_check_that_failed_runs_again(build) -> None:
    script = "def init():\n    raise ValueError('always')\ndef run(d): pass\n"
    for _ in range(2):
        failed(build(script=script, code=ExitCode.FAILED))


def test_check_that_takes_too_long_is_ended_with_what_it_started(fnpack, build, tmp_path) -> None:
    mark = f"{uuid.uuid4().int % 10**6 + 1000}.5"
    script = (
        "import subprocess, time\ndef init():\n"
        f"    subprocess.Popen(['sleep', '{mark}'])\n    print('waiting')\n    time.sleep(100)\ndef run(d): pass\n"
    )
    text = failed(build("--check-timeout", "2", script=script, code=ExitCode.FAILED), "FN421")
    assert "takes longer than 2 s, when init() runs" in text
    assert "  | waiting" in text
    assert not processes_with(mark)
    assert not [path for path in fnpack.folder.iterdir() if path.name.startswith(".fnpack")]


def processes_with(word: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_child_ends_with_the_build(fnpack, cache, tmp_path, wait_until, end) -> None:
    base, mark = write_base(tmp_path / "base"), f"{uuid.uuid4().int % 10**6 + 1000}.5"
    script = f"import subprocess\ndef init():\n    subprocess.run(['sleep', '{mark}'])\ndef run(d): pass\n"
    (fnpack.folder / "score.py").write_text(script)
    command = ["build", "--base-image", base, "--output", "oci-layout:out"]
    process = fnpack.start(*command, settings={"FNPACK_CACHE": str(cache)})
    wait_until(lambda: processes_with(mark), timeout_s=60, what="the check to run")
    process.send_signal(end)
    process.communicate(timeout=30)
    wait_until(lambda: not processes_with(mark), timeout_s=10, what="the check to end")
    assert not (fnpack.folder / "out").exists()


def test_two_builds_at_once_unpack_the_same_packages(fnpack, build, tmp_path) -> None:
    base = write_base(tmp_path / "same")
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")
    (fnpack.folder / "score.py").write_text("import iniconfig\ndef init(): pass\ndef run(d): return d\n")
    settings = {"FNPACK_CACHE": str(tmp_path / "new-cache")}
    build("--no-check", "--base-image", base, **settings)  # fetches
    command = ["build", "--model", "model.pkl", "--base-image", base]
    both = [
        fnpack.start(*command, "--output", f"oci-layout:{name}", settings=settings) for name in ("a", "b")
    ]
    for one in both:
        _, stderr = one.communicate(timeout=100)
        assert one.returncode == ExitCode.OK, stderr
    packages = [
        path.name
        for path in (tmp_path / "new-cache" / "checks" / "packages").iterdir()
        if path.name[0] != "."
    ]
    assert len(packages) == 1


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_another_python_of_this_machine_runs_the_check(build, tmp_path, python) -> None:
    from fnpack.oci.compiled import interpreter

    base = write_base(tmp_path / "other", python=python)
    script = "import sys\ndef init(): assert '%d.%d' % sys.version_info[:2] == '{}'\ndef run(d): pass\n"
    ended = build("--base-image", base, script=script.format(python))
    expected = (
        "+ check (" if interpreter(python) else f"not done: there is no Python {python} on this machine"
    )
    assert expected in ended.stderr


def test_failed_check_pushes_no_manifest_and_one_that_passes_does(fnpack, build, registry) -> None:
    tag = f"{registry}/check:{uuid.uuid4().hex[:8]}"
    broken = "def init():\n    raise ValueError('broken')\ndef run(d): pass\n"
    sbom = fnpack.folder / "sbom.json"
    failed(build("--tag", tag, "--push", "--sbom", "sbom.json", script=broken, code=ExitCode.FAILED))
    assert not tags_of(tag)
    assert not sbom.exists()
    build("--tag", tag, "--push", script="def init(): pass\ndef run(d): return d\n")
    assert tags_of(tag) == [tag.rpartition(":")[2]]
    failed(build("--tag", f"{tag}-next", "--push", script=broken, code=ExitCode.FAILED))
    assert tags_of(tag) == [tag.rpartition(":")[2]]


def tags_of(tag: str) -> list[str]:
    """The tags of the tag's repository that begin like it."""
    import urllib.error
    import urllib.request

    registry, _, rest = tag.partition("/")
    repository, _, name = rest.rpartition(":")
    try:
        with urllib.request.urlopen(f"http://{registry}/v2/{repository}/tags/list", timeout=10) as answer:
            found: list[str] = json.load(answer)["tags"] or []
    except urllib.error.HTTPError as error:
        with error:
            return []
    return [one for one in found if one.startswith(name)]


def test_wrong_options_are_told_together(fnpack) -> None:
    ended = fnpack(
        "build", "--sample", "nowhere.json", "--check-timeout", "soon", settings={"FNPACK_CHECK": "perhaps"}
    )
    assert ended.code == ExitCode.FAILED
    assert "FNPACK_CHECK: must be on or off" in ended.stderr
    ended = fnpack("build", "--sample", "nowhere.json", "--check-timeout", "soon")
    assert "--sample: the sample " in ended.stderr
    assert "--check-timeout: `soon` is no number of seconds" in ended.stderr
