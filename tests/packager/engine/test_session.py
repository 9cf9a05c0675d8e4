"""The gRPC server of a build session, spoken to by h2's own client."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import cast

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.engine.protobuf import encode
from fnpack.engine.session import CREDENTIALS, GET_SECRET, HEALTH_CHECK, _GrpcServer, build_methods


class Caller:
    """The Engine's side of a session, in memory."""

    def __init__(self, server: _GrpcServer, window: int = 65535) -> None:
        self.server = server
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.http.update_settings({4: window})  # SETTINGS_INITIAL_WINDOW_SIZE
        self.bodies: dict[int, bytes] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.take(server.start())

    def take(self, data: bytes) -> None:
        self._receive(data)
        while waiting := self.http.data_to_send():
            self._receive(self.server.receive(waiting))

    def _receive(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    self.headers.setdefault(event.stream_id, {}).update(
                        dict(cast("Iterable[tuple[str, str]]", event.headers))
                    )
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.add(event.stream_id)

    def call(self, path: str, body: bytes) -> tuple[int, bytes]:
        stream = self.http.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        self.http.send_headers(stream, [*headers, ("content-type", "application/grpc"), ("te", "trailers")])
        for start in range(0, len(body), 16384):
            self.http.send_data(stream, body[start : start + 16384])
            self.take(b"")
        self.http.end_stream(stream)
        self.take(b"")
        assert stream in self.ended
        return int(self.headers[stream]["grpc-status"]), self.bodies.get(stream, b"")


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def server() -> _GrpcServer:
    return _GrpcServer(
        build_methods({"pip": b"p" * 200_000, "x": b"value"}, lambda host: (f"user@{host}", "password"))
    )


def test_a_known_secret_is_given() -> None:
    assert Caller(server()).call(GET_SECRET, framed(encode((1, "x")))) == (0, framed(encode((1, b"value"))))


@pytest.mark.parametrize("window", [100, 65535])
def test_a_secret_larger_than_the_peers_window_arrives_whole(window: int) -> None:
    status, body = Caller(server(), window).call(GET_SECRET, framed(encode((1, "pip"))))
    assert (status, body) == (0, framed(encode((1, b"p" * 200_000))))


def test_an_unknown_secret_is_not_found() -> None:
    assert Caller(server()).call(GET_SECRET, framed(encode((1, "y")))) == (5, b"")


def test_the_health_check_says_serving() -> None:
    assert Caller(server()).call(HEALTH_CHECK, framed(b"")) == (0, framed(b"\x08\x01"))


def test_credentials_are_those_of_the_host_asked_for() -> None:
    status, body = Caller(server()).call(CREDENTIALS, framed(encode((1, "registry.test"))))
    assert (status, body) == (0, framed(encode((1, "user@registry.test"), (2, "password"))))


def test_other_methods_are_unimplemented_and_calls_go_on() -> None:
    caller = Caller(server())
    assert caller.call("/moby.filesync.v1.Auth/FetchToken", framed(b"x" * 50_000)) == (12, b"")
    assert caller.call(HEALTH_CHECK, framed(b""))[0] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 3),
        (framed(b"xx")[:-1], 3),
        (framed(b"\x0b"), 3),
        (b"\x01" + framed(b"")[1:], 12),
        (framed(b"x" * 66_000), 8),
    ],
)
def test_a_malformed_request_fails_its_call_alone(body: bytes, status: int) -> None:
    caller = Caller(server(), 1 << 20)
    assert caller.call(GET_SECRET, body) == (status, b"")
    assert caller.call(HEALTH_CHECK, framed(b""))[0] == 0


def test_a_method_that_raises_fails_its_call_without_telling_why() -> None:
    def fail(request: bytes) -> bytes:
        raise RuntimeError("password")

    caller = Caller(_GrpcServer({"/m": fail, HEALTH_CHECK: lambda request: b""}))
    assert caller.call("/m", framed(b"")) == (2, b"")
    assert "password" not in repr(caller.headers)
    assert caller.call(HEALTH_CHECK, framed(b""))[0] == 0


@given(st.binary(max_size=200))
def test_any_message_to_a_method_is_answered(message: bytes) -> None:
    status, _ = Caller(server()).call(GET_SECRET, framed(message))
    assert status in (0, 3, 5)
