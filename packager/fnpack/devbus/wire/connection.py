"""One client's connection: headers, SASL, open and close; hands frames to its sessions and collects what they write."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from fnpack.devbus.amqp import frames
from fnpack.devbus.amqp.frames import AMQP_HEADER, SASL_HEADER, Frame, FrameReader, encode_frame
from fnpack.devbus.amqp.performatives import (
    BEGIN,
    CLOSE,
    END,
    OPEN,
    SASL_INIT,
    SASL_MECHANISMS,
    SASL_OUTCOME,
    error,
)
from fnpack.devbus.amqp.types import Array, DecodeError, Described, Symbol, UByte, UInt, UShort
from fnpack.devbus.wire.errors import ProtocolError
from fnpack.devbus.wire.session import Session

if TYPE_CHECKING:
    from fnpack.devbus.wire.broker import Broker

_logger = logging.getLogger("fnpack.devbus")
_MECHANISMS = ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL")
_SMALLEST_FRAME = 512
_ROOM_BYTES = 256 * 1024  # what may wait to be written before receivers pause
_GOODBYE_S = 5.0
_LARGEST_FRAME = 64 * 1024


class Connection(asyncio.Protocol):
    """A client. Whatever it sends, at worst its own connection is closed."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.max_frame_bytes = _SMALLEST_FRAME
        self._reader = FrameReader(broker.limits.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._sessions: dict[int, Session] = {}
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_writable = True
        self._in_sasl = False
        self._is_open = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        limits = self.broker.limits
        if len(self.broker.connections) >= limits.max_connections:
            self.drop()
            return
        self.broker.connections.add(self)
        self._timer = self.broker.loop.call_later(limits.open_timeout_s, self.drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone. What it had locked stays locked."""
        self._is_closed = True
        self.broker.connections.discard(self)
        self._stop_timer()
        for session in list(self._sessions.values()):
            session.end()
        self._sessions.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._is_closed:
            return
        self._reader.feed(data)
        try:
            for item in self._reader.items():
                if isinstance(item, Frame):
                    self._frame(item)
                else:
                    self._header(item)
                if self.is_closed:
                    break
        except ProtocolError as exc:
            self.close(exc.condition, str(exc))
        except DecodeError as exc:
            self.close("amqp:decode-error", str(exc))
        except Exception:
            _logger.exception("the development Service Bus has a bug; it closes this client's connection")
            self.close("amqp:internal-error", "the development Service Bus has a bug; see its log")
        self.flush()

    def pause_writing(self) -> None:
        """The client does not read: stop reading from it, and stop delivering to it."""
        self._is_writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_writable = True
        if self._transport is not None:
            self._transport.resume_reading()
        for session in self._sessions.values():
            session.wake()

    # -- for sessions ------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over."""
        return self._is_closed

    @property
    def has_room(self) -> bool:
        """Whether more may be delivered now."""
        return self._is_writable and self._out_bytes < _ROOM_BYTES and not self._is_closed

    def send(self, channel: int, performative: Described) -> None:
        """Write a frame with the next `flush`."""
        self.write(encode_frame(channel, performative))

    def write(self, data: bytes) -> None:
        """Write bytes with the next `flush`."""
        self._out.append(data)
        self._out_bytes += len(data)

    def flush(self) -> None:
        """Write what has been collected, after all it tells of has been made to last."""
        if not self._out:
            return
        self.broker.commit()
        data = b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            if self._is_closed:
                self._transport.close()

    def pending_bytes(self) -> int:
        """What is kept of messages that have not arrived whole."""
        return sum(session.pending_bytes() for session in self._sessions.values())

    def close(self, condition: str | None = None, description: str = "") -> None:
        """Say goodbye, with an error unless the client itself has closed."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._is_open:
            fault = error(condition, description) if condition else None
            self.send(0, CLOSE.write(error=fault))
        for session in list(self._sessions.values()):
            session.end()
        self._sessions.clear()
        self._stop_timer()
        self._timer = self.broker.loop.call_later(_GOODBYE_S, self.drop)  # for a client that does not read it
        if self._out:
            self.flush()
        elif self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # -- within ------------------------------------------------------------------------------------

    def _header(self, header: bytes) -> None:
        if header == SASL_HEADER and not self._is_open and not self._in_sasl:
            self._in_sasl = True
            self.write(SASL_HEADER)
            mechanisms = Array(0xB3, tuple(Symbol(name) for name in _MECHANISMS))
            self._send_sasl(SASL_MECHANISMS.write(sasl_server_mechanisms=mechanisms))
        elif header == AMQP_HEADER:
            self.write(AMQP_HEADER)
        else:  # TLS, another version, another protocol: say what is spoken here and go
            self.write(SASL_HEADER)
            self.close()

    def _send_sasl(self, performative: Described) -> None:
        self.write(encode_frame(0, performative, kind=frames.SASL))

    def _frame(self, frame: Frame) -> None:
        if frame.kind == frames.SASL:
            self._sasl(frame)
        elif frame.code == OPEN.code:
            self._open(frame)
        elif not self._is_open:
            raise ProtocolError("amqp:illegal-state", "the first frame is not open")
        elif frame.code == CLOSE.code:
            self.close()
        elif frame.code == BEGIN.code:
            self._begin(frame)
        elif frame.code >= 0:
            self._of_session(frame)

    def _of_session(self, frame: Frame) -> None:
        session = self._sessions.get(frame.channel)
        if session is None:
            raise ProtocolError("amqp:not-found", "a frame came for a session that has not begun")
        if frame.code == END.code:
            session.end()
            del self._sessions[frame.channel]
            self.send(frame.channel, END.write())
        else:
            session.handle(frame)

    def _sasl(self, frame: Frame) -> None:
        if not self._in_sasl or frame.code != SASL_INIT.code:
            raise ProtocolError("amqp:illegal-state", "this SASL frame makes no sense here")
        mechanism = SASL_INIT.read(frame.fields)[0]
        accepted = mechanism in _MECHANISMS
        self._send_sasl(SASL_OUTCOME.write(code=UByte(0 if accepted else 1)))
        self._in_sasl = False
        self._reader.expect_header()
        if not accepted:
            self.close()

    def _open(self, frame: Frame) -> None:
        if self._is_open:
            raise ProtocolError("amqp:illegal-state", "the connection is open already")
        fields = OPEN.read(frame.fields)
        theirs, idle_ms = fields[2], fields[4]
        size = theirs if isinstance(theirs, int) else _LARGEST_FRAME
        if size < _SMALLEST_FRAME:
            raise ProtocolError("amqp:invalid-field", "max-frame-size is below 512")
        self.max_frame_bytes = min(size, _LARGEST_FRAME)
        self._is_open = True
        self._stop_timer()
        limits = self.broker.limits
        self.send(
            0,
            OPEN.write(
                container_id="fnpack-devbus",
                hostname=fields[1],
                max_frame_size=UInt(limits.max_frame_bytes),
                channel_max=UShort(limits.max_sessions - 1),
                properties={Symbol("product"): "fnpack development Service Bus"},
            ),
        )
        if isinstance(idle_ms, int) and idle_ms > 0:
            self._beat(max(idle_ms / 2000, 0.1))

    def _beat(self, every_s: float) -> None:
        """An empty frame now and then: the client has asked not to be left in silence."""
        self._timer = self.broker.loop.call_later(every_s, self._beat, every_s)
        if self._is_writable and not self._is_closed:
            self.write(frames.EMPTY_FRAME)
            self.flush()

    def _begin(self, frame: Frame) -> None:
        limits = self.broker.limits
        if frame.channel in self._sessions:
            raise ProtocolError("amqp:illegal-state", "the session has begun already")
        if frame.channel >= limits.max_sessions:
            raise ProtocolError("amqp:connection:framing-error", "the channel is above channel-max")
        self._sessions[frame.channel] = Session(self, frame.channel, BEGIN.read(frame.fields))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
