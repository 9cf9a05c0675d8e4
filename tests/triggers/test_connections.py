"""Connection settings: where they are looked for, and what is said of a bad one, without ever showing it."""

from __future__ import annotations

import pytest

from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.sections import find_section

KEY = "c2VjcmV0c2VjcmV0"
GOOD = f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={KEY};EndpointSuffix=core.windows.net"


def test_the_order_of_lookup_is_that_of_azures_host() -> None:
    settings = {
        "X": "4",
        "ConnectionStrings__X": "3",
        "AzureWebJobsX": "2",
        "ConnectionStrings__AzureWebJobsX": "1",
    }
    for expected in ("1", "2", "3", "4"):
        assert find_section(settings, "x").value == expected
        del settings[next(key for key, value in settings.items() if value == expected)]


def test_a_missing_setting_is_named_with_how_to_set_it() -> None:
    with pytest.raises(ConnectionSettingError, match="`TriggerConnectionString` is not set") as caught:
        find_section({"TriggerConnectionString": "  "}, "TriggerConnectionString")
    assert "docker run -e TriggerConnectionString=" in str(caught.value.hint)


def test_an_empty_name_means_the_hosts_own_storage() -> None:
    found = StorageConnection.find({"AzureWebJobsStorage": GOOD}, "")
    assert (found.setting, found.account) == ("AzureWebJobsStorage", "acme")


def test_development_storage_is_accepted() -> None:
    assert StorageConnection.parse("X", "UseDevelopmentStorage=true").account == "devstoreaccount1"


def test_a_signature_with_an_endpoint_is_accepted() -> None:
    text = "BlobEndpoint=https://acme.blob.core.windows.net;SharedAccessSignature=sv=2024&sig=abc%3D"
    assert StorageConnection.parse("X", text).account == "acme.blob.core.windows.net"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("hello", "part 1"),
        (f"AccountName=acme;{KEY}", "part 2"),
        (f"AccountKey={KEY}", "AccountName"),
        ("AccountName=acme", "AccountKey"),
        (f"AccountName=acme;AccountKey={KEY}x", "base64"),
        (f"DefaultEndpointsProtocol=ftp;AccountName=acme;AccountKey={KEY}", "DefaultEndpointsProtocol"),
        (f"AccountName=acme;AccountKey={KEY};BlobEndpoint=acme.blob", "BlobEndpoint"),
    ],
)
def test_a_malformed_connection_string_is_refused_by_part_and_never_shown(text: str, part: str) -> None:
    with pytest.raises(ConnectionSettingError, match=part) as caught:
        StorageConnection.parse("MySetting", text)
    shown = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "MySetting" in shown
    assert KEY not in shown


@pytest.mark.parametrize(
    "name", [GOOD, f"Endpoint=sb://x/;SharedAccessKey={KEY}", "UseDevelopmentStorage=true"]
)
def test_a_connection_string_in_place_of_a_name_is_refused_and_never_shown(name: str) -> None:
    with pytest.raises(ConnectionSettingError, match="name of a setting") as caught:
        find_section({}, name)
    assert KEY not in f"{caught.value} {caught.value.hint}"


def test_repr_hides_the_connection_string() -> None:
    assert KEY not in repr(StorageConnection.parse("X", GOOD))
