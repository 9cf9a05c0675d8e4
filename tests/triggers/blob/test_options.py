"""The app setting of the blob trigger that is not in host.json."""

from __future__ import annotations

import pytest

from fnpack_triggers.base import Binding
from fnpack_triggers.blob.factory import create_listener
from fnpack_triggers.blob.listener import BlobTrigger
from fnpack_triggers.errors import BindingError
from fnpack_triggers.registry import TriggerSite

TRIGGER = Binding("event", "blobtrigger", "in", {"path": "inputs/{name}"})


def site(lease: str) -> TriggerSite:
    settings = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "FNPACK_BLOB_LEASE_SECONDS": lease}
    return TriggerSite("f", "id", settings, lambda key, default, minimum: default)


@pytest.mark.parametrize(("text", "lease_s"), [("15", 15), ("60", 60), ("", 30), (" 20 ", 20)])
def test_the_lease_is_what_the_setting_says(text: str, lease_s: int) -> None:
    listener = create_listener(TRIGGER, site(text))
    assert isinstance(listener, BlobTrigger)
    assert listener._options.lease_s == lease_s


@pytest.mark.parametrize("text", ["14", "61", "-1", "20.5", "soon"])
def test_a_lease_that_the_service_does_not_give_is_refused(text: str) -> None:
    with pytest.raises(BindingError, match="FNPACK_BLOB_LEASE_SECONDS"):
        create_listener(TRIGGER, site(text))
