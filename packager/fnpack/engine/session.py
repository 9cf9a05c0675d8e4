"""A BuildKit session: the Engine connects back over an upgraded HTTP connection and asks for secrets and logins.

After `POST /session` is answered 101 the roles turn round: the Engine is the HTTP/2 client, we serve gRPC on the
socket from one thread. The protocol knows nothing of builds; methods are plain functions from bytes to bytes.
"""

from __future__ import annotations

import contextlib
import logging
import secrets as random_names
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from fnpack.engine.protobuf import ProtobufError, encode, text_field
from fnpack.engine.sdk import hijack, url

if TYPE_CHECKING:
    from docker.api.client import APIClient
    from requests import Response

log = logging.getLogger(__name__)

GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"  # noqa: S105 a method's name
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"

OK, UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 0, 2, 3, 5, 8, 12
_SERVING = encode((1, 1))
_REQUEST_LIMIT_BYTES = 1 << 16
_READ_BYTES = 1 << 16
_UPGRADE_TIMEOUT_S = 20
_CLOSE_TIMEOUT_S = 5


class GrpcError(Exception):
    """Answer a call with this status. The text goes to the Engine: ASCII, and no secrets."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Method = Callable[[bytes], bytes]
Credentials = Callable[[str], tuple[str, str]]


class SessionRefused(Exception):  # noqa: N818 - says what happened
    """The Engine does not open BuildKit sessions; `status` is its HTTP answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def build_methods(secrets: Mapping[str, bytes], credentials: Credentials) -> dict[str, Method]:
    """The methods a build needs: the named secrets, (user name, password) of a registry, and a health check."""

    def get_secret(request: bytes) -> bytes:
        name = text_field(request, 1)
        if name not in secrets:
            raise GrpcError(NOT_FOUND, "no such secret")
        return encode((1, secrets[name]))

    def get_credentials(request: bytes) -> bytes:
        user, password = credentials(text_field(request, 1))
        return encode((1, user), (2, password))

    return {GET_SECRET: get_secret, CREDENTIALS: get_credentials, HEALTH_CHECK: lambda request: _SERVING}


class Session:
    """One open session; use it as a context manager around the build that names its `id`."""

    def __init__(self, api: APIClient, methods: Mapping[str, Method]) -> None:
        self.id = random_names.token_hex(16)
        self._methods = methods
        self._response = self._upgrade(api)
        self._socket, self._reader = hijack(api, self._response)
        self._socket.settimeout(None)  # a session is silent while a step runs; closing it ends the wait
        self._thread = threading.Thread(target=self._serve, name="buildkit-session", daemon=True)

    def __enter__(self) -> Session:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the Engine may have hung up first
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread out of its read
        self._thread.join(_CLOSE_TIMEOUT_S)
        self._response.close()

    def _upgrade(self, api: APIClient) -> Response:
        """`POST /session`. Each method is a header of its own, which requests' own header dict cannot hold."""
        from requests import Request
        from requests.structures import CaseInsensitiveDict
        from urllib3 import HTTPHeaderDict

        request = api.prepare_request(Request("POST", url(api, "/session")))
        headers = HTTPHeaderDict(request.headers)
        headers["Connection"], headers["Upgrade"] = "Upgrade", "h2c"
        headers["X-Docker-Expose-Session-Uuid"] = self.id
        headers["X-Docker-Expose-Session-Name"] = "fnpack"
        headers["X-Docker-Expose-Session-Sharedkey"] = ""
        for method in self._methods:
            headers.add("X-Docker-Expose-Session-Grpc-Method", method)
        request.headers = cast("CaseInsensitiveDict[str]", headers)
        response = api.send(request, stream=True, timeout=_UPGRADE_TIMEOUT_S)
        if response.status_code != 101:
            response.close()
            raise SessionRefused(response.status_code)
        return response

    def _serve(self) -> None:
        server = _GrpcServer(self._methods)
        try:
            self._socket.sendall(server.start())
            while data := self._reader.read1(_READ_BYTES):
                self._socket.sendall(server.receive(data))
        except (OSError, ValueError) as exc:  # ValueError: the reader was closed under us
            log.debug("build session ended: %s", type(exc).__name__)
        except h2.exceptions.H2Error as exc:
            log.warning("build session broke: %s", exc)


class _GrpcServer:
    """Unary gRPC over one HTTP/2 connection: bytes in, bytes out, no sockets."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._paths: dict[int, str] = {}
        self._requests: dict[int, bytearray] = {}
        self._answers: dict[int, bytearray] = {}  # what flow control has not let out yet

    def start(self) -> bytes:
        """The first bytes to send."""
        self._http.initiate_connection()
        return self._http.data_to_send()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the peer, return the bytes to answer with."""
        for event in self._http.receive_data(data):
            self._handle(event)
        for stream in list(self._answers):
            self._pump(stream)
        return self._http.data_to_send()

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=headers):
                self._paths[stream] = _path(cast("Sequence[tuple[str, str]]", headers or ()))
                self._requests[stream] = bytearray()
                if self._paths[stream] not in self._methods:
                    self._refuse(stream, UNIMPLEMENTED, "not offered by this session")
            case h2.events.DataReceived(stream_id=int(stream), data=data, flow_controlled_length=int(size)):
                self._http.acknowledge_received_data(size, stream)
                if stream in self._requests:
                    self._requests[stream] += data or b""
                    if len(self._requests[stream]) > _REQUEST_LIMIT_BYTES:
                        self._refuse(stream, RESOURCE_EXHAUSTED, "request too large")
            case h2.events.StreamEnded(stream_id=int(stream)) if stream in self._requests:
                self._answer(stream, self._paths.pop(stream), bytes(self._requests.pop(stream)))
            case h2.events.StreamReset(stream_id=int(stream)):
                for table in (self._paths, self._requests, self._answers):
                    table.pop(stream, None)
            case _:
                pass

    def _answer(self, stream: int, path: str, request: bytes) -> None:
        try:
            message = self._methods[path](_unframe(request))
        except GrpcError as exc:
            self._refuse(stream, exc.status, str(exc))
        except ProtobufError:
            self._refuse(stream, INVALID_ARGUMENT, "not a protobuf message")
        except Exception as exc:  # a method's fault fails its call, not the session
            log.debug("%s failed: %s", path, type(exc).__name__)
            self._refuse(stream, UNKNOWN, "the client failed")
        else:
            self._http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            self._answers[stream] = bytearray(struct.pack(">BI", 0, len(message)) + message)

    def _refuse(self, stream: int, status: int, message: str) -> None:
        self._paths.pop(stream, None)
        self._requests.pop(stream, None)
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        trailers = [("grpc-status", str(status)), ("grpc-message", message)]
        self._http.send_headers(stream, headers + trailers, end_stream=True)

    def _pump(self, stream: int) -> None:
        """Send as much of an answer as the peer's windows allow; close the call when all is out."""
        answer = self._answers[stream]
        while answer:
            room = min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)
            if room <= 0:
                return
            self._http.send_data(stream, bytes(answer[:room]))
            del answer[:room]
        del self._answers[stream]
        self._http.send_headers(stream, [("grpc-status", str(OK))], end_stream=True)


def _path(headers: Sequence[tuple[str, str]]) -> str:
    return dict(headers).get(":path", "")


def _unframe(request: bytes) -> bytes:
    """The one message of a unary call: a compression byte, a length, the message."""
    if len(request) < 5:
        raise GrpcError(INVALID_ARGUMENT, "truncated request")
    compressed, size = struct.unpack_from(">BI", request)
    if compressed:
        raise GrpcError(UNIMPLEMENTED, "compression is not offered")
    if size != len(request) - 5:
        raise GrpcError(INVALID_ARGUMENT, "truncated request")
    return request[5:]
