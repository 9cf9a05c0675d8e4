"""A session within a connection: its links by handle, delivery ids, and what waits to be settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fnpack.devbus.amqp.frames import Frame, encode_disposition, encode_transfers
from fnpack.devbus.amqp.performatives import (
    ATTACH,
    BEGIN,
    DETACH,
    DISPOSITION,
    FLOW,
    TRANSFER,
    error,
)
from fnpack.devbus.amqp.types import Described, UInt, UShort, Value
from fnpack.devbus.entities.errors import BusError
from fnpack.devbus.wire.attach import Attach, open_link, refuse
from fnpack.devbus.wire.errors import ProtocolError
from fnpack.devbus.wire.incoming import IncomingLink
from fnpack.devbus.wire.outgoing import OutgoingLink
from fnpack.devbus.wire.settlement import Unsettled, settle_range

if TYPE_CHECKING:
    from fnpack.devbus.wire.connection import Connection
    from fnpack.devbus.wire.link import Link

WINDOW = 2**31 - 1
_MODULUS = 2**32


class Session:
    """A session. Its channel is the same in both directions, and so are the handles of its links."""

    def __init__(self, connection: Connection, channel: int, begin: list[Value]) -> None:
        self.connection = connection
        self.broker = connection.broker
        self.channel = channel
        self.links: dict[int, Link] = {}
        self.unsettled: dict[int, Unsettled] = {}
        self.next_delivery_id = 0
        self._closing: set[int] = set()  # handles that we have detached; frames for them may be on their way
        self._next_incoming_id = number(begin[1])
        self._next_outgoing_id = 0
        self._window = number(begin[2])
        connection.send(
            channel,
            BEGIN.write(
                remote_channel=UShort(channel),
                next_outgoing_id=UInt(0),
                incoming_window=UInt(WINDOW),
                outgoing_window=UInt(WINDOW),
                handle_max=UInt(self.broker.limits.max_handles - 1),
            ),
        )

    def handle(self, frame: Frame) -> None:
        """A frame for this session. Raises ProtocolError and DecodeError."""
        match frame.code:
            case TRANSFER.code:
                self._transfer(TRANSFER.read(frame.fields), frame.payload)
            case DISPOSITION.code:
                settle_range(self, DISPOSITION.read(frame.fields))
            case FLOW.code:
                self._flow(FLOW.read(frame.fields))
            case ATTACH.code:
                self._attach(Attach.read(frame.fields))
            case DETACH.code:
                self._detach(DETACH.read(frame.fields))
            case _:
                raise ProtocolError("amqp:not-implemented", f"the performative 0x{frame.code:x} is unknown")

    def end(self) -> None:
        """The session is over: let go of its links."""
        for link in list(self.links.values()):
            link.closed()
        self.links.clear()

    def wake(self) -> None:
        """The connection has room again."""
        for link in self.links.values():
            if isinstance(link, OutgoingLink):
                link.wake()

    def pending_bytes(self) -> int:
        """What is kept of messages that have not arrived whole."""
        return sum(link.pending_bytes for link in self.links.values() if isinstance(link, IncomingLink))

    # -- for links ---------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether a message may be delivered now."""
        return self._window > 0 and self.connection.has_room

    def send(self, performative: Described) -> None:
        """Write a frame of this session."""
        self.connection.send(self.channel, performative)

    def send_message(self, handle: int, tag: bytes, message: bytes, *, settled: bool) -> int:
        """Write a delivery: its id."""
        delivery_id = self.next_delivery_id
        self.next_delivery_id = (delivery_id + 1) % _MODULUS
        transfers = encode_transfers(
            self.channel,
            handle,
            delivery_id,
            tag,
            message,
            max_frame_bytes=self.connection.max_frame_bytes,
            settled=settled,
        )
        for transfer in transfers:
            self.connection.write(transfer)
        self._next_outgoing_id = (self._next_outgoing_id + len(transfers)) % _MODULUS
        self._window -= len(transfers)
        return delivery_id

    def send_disposition(self, delivery_id: int, outcome: Described, *, as_receiver: bool) -> None:
        """Settle a delivery: one that came if `as_receiver`, else one that was sent."""
        self.connection.write(encode_disposition(self.channel, delivery_id, outcome, as_receiver=as_receiver))

    def send_flow(self, handle: int, delivery_count: int, credit: int, *, drain: bool = False) -> None:
        """Write a flow of a link, which tells of the session as well."""
        self.send(
            FLOW.write(
                next_incoming_id=UInt(self._next_incoming_id),
                incoming_window=UInt(WINDOW),
                next_outgoing_id=UInt(self._next_outgoing_id),
                outgoing_window=UInt(WINDOW),
                handle=UInt(handle),
                delivery_count=UInt(delivery_count),
                link_credit=UInt(credit),
                drain=drain,
                echo=False,
            )
        )

    def detach(self, handle: int, exc: BusError) -> None:
        """End a link from this side, with an error."""
        self.links.pop(handle, None)
        self._closing.add(handle)
        self.send(DETACH.write(handle=UInt(handle), closed=True, error=error(exc.condition, str(exc))))

    # -- frames ------------------------------------------------------------------------------------

    def _attach(self, attach: Attach) -> None:
        if attach.handle >= self.broker.limits.max_handles:
            raise ProtocolError("amqp:connection:framing-error", "the handle is above handle-max")
        if attach.handle in self.links:
            raise ProtocolError("amqp:session:handle-in-use", "the handle is in use")
        self._closing.discard(attach.handle)
        try:
            self.links[attach.handle] = open_link(self, attach)
        except BusError as exc:
            refuse(self, attach)
            self.detach(attach.handle, exc)

    def _detach(self, fields: list[Value]) -> None:
        handle = number(fields[0])
        link = self.links.pop(handle, None)
        if link is not None:
            link.closed()
            self.send(DETACH.write(handle=UInt(handle), closed=fields[1] is True))
        self._closing.discard(handle)

    def _transfer(self, fields: list[Value], payload: bytes) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) % _MODULUS
        link = self._link(number(fields[0]))
        if isinstance(link, IncomingLink):
            link.transfer(fields, payload)
        elif link is not None:
            raise ProtocolError("amqp:not-allowed", "a transfer came on a link that only receives")

    def _flow(self, fields: list[Value]) -> None:
        base = number(fields[0]) if fields[0] is not None else 0
        window = (base + number(fields[1]) - self._next_outgoing_id) % _MODULUS
        had_room, self._window = self._window > 0, window if window < WINDOW else 0
        if fields[4] is not None:
            link = self._link(number(fields[4]))
            if link is not None:
                link.flow(fields)
        elif fields[9] is True:
            self._echo()
        if not had_room:
            self.wake()

    def _echo(self) -> None:
        self.send(
            FLOW.write(
                next_incoming_id=UInt(self._next_incoming_id),
                incoming_window=UInt(WINDOW),
                next_outgoing_id=UInt(self._next_outgoing_id),
                outgoing_window=UInt(WINDOW),
            )
        )

    def _link(self, handle: int) -> Link | None:
        """The link of that handle; None if we have just detached it."""
        link = self.links.get(handle)
        if link is None and handle not in self._closing:
            raise ProtocolError("amqp:session:unattached-handle", "no link is attached to the handle")
        return link


def number(value: Value) -> int:
    """A field that must be a number."""
    if not isinstance(value, int):
        raise ProtocolError("amqp:invalid-field", "a number is missing")
    return int(value)
