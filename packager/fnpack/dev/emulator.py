"""Creates containers and queues in a storage emulator, with two signed requests of its own.

Importing the storage library would take longer than all else that `fnpack dev` does before an app runs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
from email.utils import formatdate
from urllib.parse import quote, urlsplit

from fnpack.dev.azurite import ACCOUNT, WELL_KNOWN_PORTS, connection_string
from fnpack.dev.errors import DevError
from fnpack.dev.needs import Entity

_VERSION = "2021-12-02"
_THERE_ALREADY = (201, 204, 409)
_TIMEOUT_S = 10.0
_PROBE_S = 1.0


class Emulator:
    """The account `devstoreaccount1` of an emulator on this machine."""

    def __init__(self, text: str) -> None:
        """`text` is a connection string with endpoints."""
        parts = dict(part.split("=", 1) for part in text.strip().strip(";").split(";") if "=" in part)
        folded = {key.strip().lower(): value.strip() for key, value in parts.items()}
        self._key = base64.b64decode(folded.get("accountkey", ""))
        self.blob, self.queue = folded.get("blobendpoint", ""), folded.get("queueendpoint", "")

    def create(self, entity: Entity) -> None:
        """Create a container or a queue if it is not there. Raises DevError."""
        if entity.kind == "container":
            self._put(self.blob, entity.name, "restype=container")
        else:
            self._put(self.queue, entity.name, "")

    def answers(self) -> bool:
        """Whether a storage service listens there."""
        url = urlsplit(self.blob)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_PROBE_S)
        try:
            connection.request("GET", f"{url.path}?comp=list")
            return connection.getresponse().getheader("x-ms-request-id") is not None
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _put(self, endpoint: str, name: str, query: str) -> None:
        url = urlsplit(endpoint)
        path = f"{url.path.rstrip('/')}/{quote(name)}"
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT_S)
        try:
            connection.request(
                "PUT", f"{path}?{query}" if query else path, headers=self._headers(path, query)
            )
            response = connection.getresponse()
            answer = response.read(500)
        except (OSError, http.client.HTTPException) as error:
            raise DevError(f"the storage emulator at {url.netloc} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status not in _THERE_ALREADY:
            reason = response.getheader("x-ms-error-code") or answer.decode("utf-8", "replace")
            raise DevError(f"the storage emulator at {url.netloc} refused to create `{name}`: {reason}")

    def _headers(self, path: str, query: str) -> dict[str, str]:
        """What Azure Storage calls SharedKey: the request's facts, signed with the account's key."""
        facts = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
        resource = f"/{ACCOUNT}{path}" + (f"\n{query.replace('=', ':')}" if query else "")
        lines = ["PUT", *[""] * 11, *(f"{key}:{value}" for key, value in facts.items()), resource]
        digest = hmac.new(self._key, "\n".join(lines).encode(), hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        return {**facts, "Content-Length": "0", "Authorization": f"SharedKey {ACCOUNT}:{signature}"}


def well_known() -> str:
    """The connection string that `UseDevelopmentStorage=true` stands for."""
    return connection_string(WELL_KNOWN_PORTS)
