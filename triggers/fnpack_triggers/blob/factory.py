"""Makes the blob listener and the blob output of a function from its bindings and the app's settings."""

from __future__ import annotations

from fnpack_triggers.base import Binding, InputBinding, Listener, OutputBinding
from fnpack_triggers.blob.input import BlobInput
from fnpack_triggers.blob.listener import BlobTrigger
from fnpack_triggers.blob.options import MAX_LEASE_S, MIN_LEASE_S, BlobOptions
from fnpack_triggers.blob.output import BlobOutput
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.registry import TriggerSite, state_connection
from fnpack_triggers.settings import find_setting

_LEASE_SETTING = "FNPACK_BLOB_LEASE_SECONDS"


def create_listener(binding: Binding, site: TriggerSite) -> Listener:
    """The listener of a blobTrigger; its state lives in AzureWebJobsStorage, else in its own account."""
    binding = _resolved(binding, site)
    trigger = StorageConnection.find(site.settings, binding.text("connection")).with_blobs()
    state = state_connection(site.settings, [binding]) or trigger
    default = BlobOptions()
    options = BlobOptions(
        site.whole_number("extensions.blobs.maxDegreeOfParallelism", default.max_degree_of_parallelism, 1),
        site.whole_number("extensions.blobs.poisonBlobThreshold", default.poison_blob_threshold, 1),
        _lease_s(site, default.lease_s),
    )
    poison = _reports_to(trigger, site)
    return BlobTrigger(site.function, binding, site.host_id, trigger, state, options, poison=poison)


def create_output(binding: Binding, trigger: Binding, site: TriggerSite) -> OutputBinding:
    """The writer of a blob output."""
    binding = _resolved(binding, site)
    return BlobOutput(binding, StorageConnection.find(site.settings, binding.text("connection")).with_blobs())


def create_input(binding: Binding, site: TriggerSite) -> InputBinding:
    """The reader of a blob input."""
    binding = _resolved(binding, site)
    return BlobInput(binding, StorageConnection.find(site.settings, binding.text("connection")).with_blobs())


def _lease_s(site: TriggerSite, default: int) -> int:
    text = (find_setting(site.settings, _LEASE_SETTING) or "").strip()
    value = int(text) if text.isdecimal() else 0 if text else default
    if not MIN_LEASE_S <= value <= MAX_LEASE_S:
        raise BindingError(
            f"the setting `{_LEASE_SETTING}` is {text!r}, but must be a whole number "
            f"from {MIN_LEASE_S} to {MAX_LEASE_S}"
        )
    return value


def _reports_to(trigger: StorageConnection, site: TriggerSite) -> StorageConnection:
    """Where the queue of blobs that were given up is: as in Azure, beside the blobs.

    It is in AzureWebJobsStorage where the connection has the address of its blobs alone (`serviceUri`).
    """
    if trigger.has_both:
        return trigger
    is_alone = trigger.identity is not None and not trigger.identity.is_multiple
    state = state_connection(site.settings, []) if is_alone else None
    if state is not None and state.has_both:
        return state
    raise trigger.lacks(
        "queueServiceUri", "where its queues are, and a blob trigger reports failed blobs in one"
    )


def _resolved(binding: Binding, site: TriggerSite) -> Binding:
    """The binding with `%SETTING%` in its path replaced."""
    path = resolve_settings(binding.text("path"), site.settings)
    return binding._replace(properties={**binding.properties, "path": path})
