"""Why an app cannot be run with its services on this machine."""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError


class DevError(FnpackError):
    """The app, or what it asks for, does not go together with this machine or with what runs already."""

    code = "FN520"


class NodeMissing(DevError):  # noqa: N818 - says what happened
    """There is no Node.js that Azurite can run on."""

    code = "FN521"
    exit_code = 4
    hint = (
        "install Node.js 18 or newer (Debian, Ubuntu: apt install nodejs npm), or pip install 'fnpack[node]', "
        "or set the connection that the app names to a storage account of yours"
    )


class AzuriteMissing(DevError):  # noqa: N818
    """Azurite is not in the cache, and cannot be fetched."""

    code = "FN522"
    exit_code = 4


class ServiceStartError(DevError):
    """A service did not start, or has ended; the text quotes the last of what it said."""

    code = "FN523"
    exit_code = 3
