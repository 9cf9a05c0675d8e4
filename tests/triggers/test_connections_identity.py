"""A storage account given as an identity: which settings make one, which wins, and what is said of half a one."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_triggers.base import Binding
from fnpack_triggers.blob.factory import create_listener, create_output
from fnpack_triggers.connections import StorageConnection, is_given
from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.identity import SIGN_IN_KEYS
from fnpack_triggers.queue.factory import create_listener as create_queue_listener
from fnpack_triggers.registry import TriggerSite, state_connection
from fnpack_triggers.storage_identity import StorageIdentity

BLOBS, QUEUES = "https://acme.blob.core.windows.net", "https://acme.queue.core.windows.net"
BOTH = {"X__blobServiceUri": BLOBS, "X__queueServiceUri": QUEUES}
SECRET = "s3cr3t~value"
GOOD_STRING = "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=c2VjcmV0"
TRIGGER = Binding("in", "blobtrigger", "in", {"path": "input/{name}", "connection": "X"})


def identity(settings: Mapping[str, str], name: str = "X") -> StorageIdentity:
    found = StorageConnection.find(settings, name).identity
    assert found is not None
    return found


def refusal(settings: Mapping[str, str], name: str = "X") -> str:
    with pytest.raises(ConnectionSettingError) as caught:
        StorageConnection.find(settings, name)
    shown = f"{caught.value} {caught.value.hint}"
    assert SECRET not in f"{shown} {caught.value.__cause__}"
    return shown


def site(settings: Mapping[str, str]) -> TriggerSite:
    return TriggerSite("f", "host", settings, lambda key, default, minimum: default)


@pytest.mark.parametrize(
    ("settings", "blobs", "queues"),
    [
        (BOTH, BLOBS, QUEUES),
        ({"X__blobServiceUri": BLOBS + "/"}, BLOBS, ""),
        ({"X__queueServiceUri": QUEUES}, "", QUEUES),
        ({"X__serviceUri": BLOBS}, BLOBS, ""),
        ({"X__serviceUri": QUEUES}, "", QUEUES),
        ({"X__serviceUri": BLOBS, "X__queueServiceUri": QUEUES}, BLOBS, QUEUES),
        ({"X__serviceUri": "https://old.blob.core.windows.net", **BOTH}, BLOBS, QUEUES),
        ({"X__serviceUri": "https://data.acme.com"}, "https://data.acme.com", "https://data.acme.com"),
        ({"X__accountName": "acme"}, BLOBS, QUEUES),
        ({"X__accountName": "acme", "X__blobServiceUri": "https://b.acme.com"}, "https://b.acme.com", QUEUES),
        ({"X__accountName": "acme", "X__serviceUri": BLOBS}, BLOBS, QUEUES),
    ],
)
def test_addresses_are_those_that_azures_host_would_take(
    settings: Mapping[str, str], blobs: str, queues: str
) -> None:
    found = identity(settings)
    assert (found.blob_uri, found.queue_uri) == (blobs, queues)


@pytest.mark.parametrize(
    "key",
    [
        "X__blobServiceUri",
        "X:blobServiceUri",
        "x__BLOBSERVICEURI",
        "AzureWebJobsX__blobServiceUri",
        "azurewebjobsx:blobserviceuri",
        "ConnectionStrings__X__blobServiceUri",
        "ConnectionStrings:AzureWebJobsX:blobServiceUri",
    ],
)
def test_settings_are_found_in_any_case_nesting_and_with_azures_prefix(key: str) -> None:
    assert identity({key: BLOBS}).blob_uri == BLOBS


def test_azures_prefix_wins_over_the_bare_name_in_either_form() -> None:
    assert identity({"AzureWebJobsX__accountName": "first", "X": GOOD_STRING}).blob_uri.startswith(
        "https://first."
    )
    assert (
        StorageConnection.find({"AzureWebJobsX": GOOD_STRING, "X__accountName": "second"}, "X").account
        == "acme"
    )


def test_an_empty_name_is_the_hosts_own_storage() -> None:
    found = StorageConnection.find({"AzureWebJobsStorage__accountName": "acme"}, "")
    assert (found.setting, found.account) == ("AzureWebJobsStorage", "acme")
    assert is_given({"AzureWebJobsStorage__accountName": "acme"}, "AzureWebJobsStorage")


def test_account_of_an_address_with_a_path_is_its_first_part() -> None:
    found = StorageConnection.find({"X__blobServiceUri": "https://127.0.0.1:10000/devstoreaccount1"}, "X")
    assert found.account == "devstoreaccount1"


# --- how to sign in ---


def test_managed_identity_is_the_systems_own_or_the_one_that_is_named() -> None:
    managed = {**BOTH, "X__credential": "ManagedIdentity"}
    assert str(identity(managed).sign_in) == "managed identity"
    assert str(identity({**managed, "X__clientID": "1-2"}).sign_in) == "managed identity 1-2"
    named = identity({**managed, "X__managedIdentityResourceId": "/subscriptions/1"}).sign_in
    assert (named.is_managed, named.resource_id) == (True, "/subscriptions/1")


def test_application_signs_in_with_tenant_client_and_secret_which_is_never_shown() -> None:
    found = StorageConnection.find(
        {**BOTH, "X__tenantId": "t", "X__clientId": "c", "X__clientSecret": SECRET}, "X"
    )
    assert found.identity is not None
    sign_in = found.identity.sign_in
    assert (sign_in.tenant_id, sign_in.client_id, sign_in.client_secret) == ("t", "c", SECRET)
    assert not sign_in.is_managed
    assert SECRET not in f"{found!r} {found} {sign_in}"


def test_no_word_of_a_credential_means_the_default_chain_for_a_client_if_one_is_named() -> None:
    assert not identity(BOTH).sign_in.is_managed
    assert identity({**BOTH, "X__clientId": "c"}).sign_in.client_id == "c"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"X__credential": "managedidentity"}, "`X__accountName` or `X__blobServiceUri` is missing"),
        ({"X__tableServiceUri": BLOBS}, "`X` is not set"),
        ({**BOTH, "X__clientSecret": SECRET}, "`X__tenantId` and `X__clientId` are missing"),
        ({**BOTH, "X__clientSecret": SECRET, "X__clientId": "c"}, "`X__tenantId` is missing"),
        ({**BOTH, "X__tenantId": "t", "X__clientId": "c"}, "`X__clientSecret` is missing"),
        ({**BOTH, "X__credential": SECRET}, "`X__credential` is none of the known"),
        ({**BOTH, "X__managedIdentityResourceId": "r"}, "`X__credential` is missing"),
        (
            {
                **BOTH,
                "X__credential": "managedidentity",
                "X__clientId": "c",
                "X__managedIdentityResourceId": "r",
            },
            "names its identity twice",
        ),
        ({**BOTH, "X__managedIdentityObjectId": "o"}, "`X__managedIdentityObjectId` cannot be used"),
        ({**BOTH, "X__clientCertificate": "o"}, "`X__clientCertificate` cannot be used"),
        ({"X__accountName": "Not A Name"}, "`X__accountName` is not the name"),
        ({"X__blobServiceUri": "http://acme.blob.core.windows.net"}, "is not an https address"),
        ({"X__blobServiceUri": "acme"}, "is not an address"),
        ({"X__blobServiceUri": "https://[::1"}, "is not an address"),
        ({"X__blobServiceUri": "https://acme:port"}, "is not an address"),
        ({"X__blobServiceUri": f"{BLOBS}?sv=1&sig={SECRET}"}, "has more than the address"),
        (
            {"X__queueServiceUri": f"https://u:{SECRET}@acme.com"},
            "`X__queueServiceUri` has more than the address",
        ),
        (
            {"AzureWebJobsX__clientSecret": SECRET, "AzureWebJobsX__accountName": "acme"},
            "AzureWebJobsX__tenantId",
        ),
    ],
)
def test_half_of_an_identity_is_refused_by_name_and_shows_no_value(
    settings: Mapping[str, str], wanted: str
) -> None:
    assert wanted in refusal(settings)


@given(
    st.dictionaries(
        st.sampled_from(
            ["X", *(f"X__{key}" for key in ("accountName", "serviceUri", "blobServiceUri", *SIGN_IN_KEYS))]
        ),
        st.one_of(st.text(), st.sampled_from([BLOBS, "managedidentity", GOOD_STRING, "https://\u2100/"])),
    )
)
def test_any_values_make_a_connection_or_an_error_in_our_words(settings: Mapping[str, str]) -> None:
    try:
        found = StorageConnection.find(settings, "X")
    except ConnectionSettingError:
        return
    assert found.text or found.identity


# --- who needs what ---


@pytest.mark.parametrize(
    "alone", [{"X__blobServiceUri": BLOBS}, {"X__serviceUri": BLOBS}, {"X__serviceUri": "https://a.b"}]
)
def test_blob_trigger_without_a_queue_address_is_refused_by_its_name(alone: Mapping[str, str]) -> None:
    with pytest.raises(ConnectionSettingError, match="`X__queueServiceUri` is missing"):
        create_listener(TRIGGER, site(alone))


def test_blob_trigger_without_a_blob_address_is_refused_by_its_name() -> None:
    with pytest.raises(ConnectionSettingError, match="`X__blobServiceUri` is missing"):
        create_listener(TRIGGER, site({"X__queueServiceUri": QUEUES}))


def test_single_address_of_a_blob_trigger_is_enough_beside_the_hosts_own_storage() -> None:
    create_listener(TRIGGER, site({"X__serviceUri": BLOBS, "AzureWebJobsStorage": GOOD_STRING}))
    with pytest.raises(ConnectionSettingError, match="queueServiceUri"):
        create_listener(TRIGGER, site({"X__blobServiceUri": BLOBS, "AzureWebJobsStorage": GOOD_STRING}))


def test_blob_output_needs_no_queue_and_a_queue_trigger_no_blobs() -> None:
    output = Binding("out", "blob", "out", {"path": "output/a", "connection": "X"})
    create_output(output, TRIGGER, site({"X__blobServiceUri": BLOBS}))
    queue = Binding("in", "queuetrigger", "in", {"queuename": "work", "connection": "X"})
    create_queue_listener(queue, site({"X__serviceUri": QUEUES}))
    with pytest.raises(ConnectionSettingError, match="`X__queueServiceUri` is missing"):
        create_queue_listener(queue, site({"X__blobServiceUri": BLOBS}))


def test_state_lives_in_an_identity_too_but_never_where_there_are_no_blobs() -> None:
    queue = Binding("in", "queuetrigger", "in", {"queuename": "work", "connection": "Q"})
    settings = {**BOTH, "Q__queueServiceUri": QUEUES}
    assert state_connection(settings, [queue]) is None
    for order in itertools.permutations([queue, TRIGGER]):
        assert state_connection(settings, order) == StorageConnection.find(settings, "X")
    own = state_connection({**settings, "AzureWebJobsStorage__accountName": "state"}, [TRIGGER])
    assert own is not None
    assert own.account == "state"


def test_connections_are_equal_if_they_open_the_same_account_in_the_same_way() -> None:
    settings = {
        **BOTH,
        "Y__accountName": "acme",
        "Z__accountName": "acme",
        "Z__credential": "managedidentity",
    }
    x, y, z = (StorageConnection.find(settings, name) for name in "XYZ")
    assert x.identity is not None
    assert y.identity is not None
    assert x.identity.sign_in == y.identity.sign_in
    assert y != z


def test_identity_without_azure_identity_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "azure.identity" else find_spec(name)
    )
    shown = refusal(BOTH)
    assert "azure-identity is not installed" in shown
    assert "fnpack[identity]" in shown
    assert "fnpack build --identity" in shown
    assert StorageConnection.find({"X": GOOD_STRING}, "X").account == "acme"


@pytest.mark.parametrize("identity", [BOTH, {"X__credential": "managedidentity"}])
def test_connection_string_wins_over_an_identity_beside_it(identity: dict[str, str]) -> None:
    found = StorageConnection.find({**identity, "X": GOOD_STRING}, "X")
    assert found == StorageConnection.parse("X", GOOD_STRING)
