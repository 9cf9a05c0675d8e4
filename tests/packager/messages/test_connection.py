"""Which connection a command takes, and what it says where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnpack.dev.state import DEFAULT_FOLDER, Running, StateFolder
from fnpack.messages.connection import Connections
from fnpack.messages.errors import NoConnection
from fnpack_triggers.errors import ConnectionSettingError

STORAGE = "AccountName=one;AccountKey=c2VzYW1l;BlobEndpoint=http://127.0.0.1:1/one"
BUS = "Endpoint=sb://{}.example/;SharedAccessKeyName=a;SharedAccessKey=c2VzYW1l"
SETTINGS = (
    "AzureWebJobsStorage",
    "AzureWebJobsServiceBus",
    "TriggerConnectionString",
    "ServiceBusConnection",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def local(folder: Path, **values: str) -> None:
    (folder / "local.settings.json").write_text(json.dumps({"Values": values}))


def test_nothing_at_hand_names_the_settings_and_the_command() -> None:
    with pytest.raises(NoConnection) as caught:
        Connections().bus()
    assert "no `fnpack dev` runs here or in a folder above" in str(caught.value)
    assert "AzureWebJobsServiceBus, ServiceBusConnection, TriggerConnectionString" in str(caught.value)
    assert "--connection" in str(caught.value.hint)


def test_setting_that_serves_either_kind_is_told_apart_by_its_value(folder: Path) -> None:
    local(folder, TriggerConnectionString=BUS.format("bus"))
    assert Connections().bus().namespace == "bus.example"
    with pytest.raises(NoConnection):
        Connections().storage()
    local(folder, TriggerConnectionString=STORAGE)
    assert Connections().storage().account == "one"
    with pytest.raises(NoConnection):
        Connections().bus()


def test_named_setting_or_string_wins(folder: Path) -> None:
    local(folder, AzureWebJobsServiceBus=BUS.format("usual"), Mine=BUS.format("mine"))
    assert Connections().bus().namespace == "usual.example"
    assert Connections("Mine").bus().namespace == "mine.example"
    assert Connections(BUS.format("text")).bus().namespace == "text.example"
    with pytest.raises(ConnectionSettingError) as caught:
        Connections("Endpoint=sb://x.example;SharedAccessKey=c2VzYW1l").bus()
    assert "c2VzYW1l" not in str(caught.value)


def test_running_dev_is_found_from_a_folder_below_and_wins_over_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local(folder, AzureWebJobsServiceBus=BUS.format("usual"))
    state = StateFolder(folder / DEFAULT_FOLDER)
    assert state.hold()
    state.tell(Running(1, storage="", bus=BUS.format("dev"), settings={"Bus": BUS.format("dev")}))
    try:
        assert Connections().bus().namespace == "dev.example"
        (folder / "below").mkdir()
        monkeypatch.chdir(folder / "below")
        assert Connections().bus().namespace == "dev.example"
        assert Connections("Bus").bus().namespace == "dev.example"
        with pytest.raises(NoConnection) as caught:
            Connections().storage()
        assert "the `fnpack dev` here has started none" in str(caught.value)
    finally:
        state.release()
    monkeypatch.chdir(folder)
    assert Connections().bus().namespace == "usual.example"


def test_state_of_another_folder_is_named(folder: Path) -> None:
    state = StateFolder(folder / "elsewhere")
    assert state.hold()
    state.tell(Running(1, bus=BUS.format("dev")))
    try:
        assert Connections(state=folder / "elsewhere").bus().namespace == "dev.example"
        with pytest.raises(NoConnection):
            Connections().bus()
    finally:
        state.release()
