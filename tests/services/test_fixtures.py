"""The services that other tests stand on: they answer, they are private where they should be, and they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from docker import DockerClient

from services import Azurite

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "scripts" / "services.py"


def test_azurite_keeps_a_blob(azurite) -> None:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as client:
        assert client.url.startswith(azurite.blob_endpoint)
        with client.create_container("fixtures-keeps-a-blob") as container:
            container.upload_blob("a.txt", b"kept")
            assert container.download_blob("a.txt").readall() == b"kept"


def test_private_azurite_keeps_blobs_over_a_restart_at_the_same_address(
    azurite_factory: Callable[..., Azurite], tmp_path: Path
) -> None:
    private = azurite_factory(tmp_path)
    address = private.connection_string
    with BlobServiceClient.from_connection_string(address) as client:
        client.create_container("stays").upload_blob("a.txt", b"kept")
        private.restart()
        assert private.connection_string == address
        assert client.get_blob_client("stays", "a.txt").download_blob().readall() == b"kept"


def test_registry_speaks_the_distribution_api(registry: str) -> None:
    with urllib.request.urlopen(f"http://{registry}/v2/", timeout=5) as response:
        assert response.status == 200


def test_base_image_has_python(docker_engine: DockerClient, debian_base: str) -> None:
    printed = docker_engine.containers.run(debian_base, ["python3", "-c", "print(1 + 1)"], remove=True)
    assert printed == b"2\n"


def test_services_end_with_the_command_and_pass_its_exit_code_on(azurite, tmp_path: Path) -> None:
    script = "import os, sys; print(os.environ['AZURITE_CONNECTION_STRING']); sys.exit(7)"
    done = run_with_private_services(tmp_path, sys.executable, "-c", script)
    printed, _ = done.communicate(timeout=60)
    assert done.returncode == 7
    assert is_gone(printed.strip())


def test_services_end_when_their_starter_is_killed(
    azurite, tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    script = "import os, sys; print(os.environ['AZURITE_CONNECTION_STRING'], flush=True); sys.stdin.read()"
    running = run_with_private_services(tmp_path, sys.executable, "-c", script)
    with running:
        assert running.stdout is not None
        connection_string = running.stdout.readline().strip()
        assert not is_gone(connection_string)
        running.send_signal(signal.SIGKILL)
        assert running.stdin is not None
        running.stdin.close()
    wait_until(lambda: is_gone(connection_string), what="Azurite stops listening")


def test_services_end_with_an_interrupted_command(azurite, tmp_path: Path) -> None:
    script = "import os, time; print(os.environ['AZURITE_CONNECTION_STRING'], flush=True); time.sleep(60)"
    with run_with_private_services(tmp_path, sys.executable, "-c", script) as running:
        assert running.stdout is not None
        connection_string = running.stdout.readline().strip()
        os.killpg(running.pid, signal.SIGINT)  # as a terminal's Ctrl-C: to both
    assert running.returncode == 128 + signal.SIGINT
    assert is_gone(connection_string)


def run_with_private_services(scratch: Path, *command: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if name != "AZURITE_CONNECTION_STRING"}
    env["TMPDIR"] = str(scratch)
    whole = [sys.executable, str(SERVICES), "--", *command]
    pipe = subprocess.PIPE
    return subprocess.Popen(whole, env=env, text=True, stdin=pipe, stdout=pipe, start_new_session=True)


def is_gone(connection_string: str) -> bool:
    endpoint = dict(part.split("=", 1) for part in connection_string.rstrip(";").split(";"))["BlobEndpoint"]
    try:
        urllib.request.urlopen(endpoint, timeout=5).close()
    except urllib.error.HTTPError as answered:
        answered.close()
        return False
    except (urllib.error.URLError, ConnectionError):
        return True
    return False
