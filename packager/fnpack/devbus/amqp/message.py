"""A message as its sections: read, checked, written. Bodies stay bytes, so every kind of body survives unchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from fnpack.devbus.amqp.decode import decode, skip
from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.performatives import HEADER, PROPERTIES
from fnpack.devbus.amqp.types import DecodeError, Described, Fields, Symbol, UByte, UInt, ULong, Value

BATCH_FORMAT = 0x80013700
_HEADER, _DELIVERY_ANNOTATIONS, _ANNOTATIONS, _PROPERTIES, _APPLICATION = range(0x70, 0x75)
_DATA, _SEQUENCE, _VALUE, _FOOTER = range(0x75, 0x79)
_NAMES = {
    "header": 0x70,
    "delivery-annotations": 0x71,
    "message-annotations": 0x72,
    "properties": 0x73,
    "application-properties": 0x74,
    "data": 0x75,
    "amqp-sequence": 0x76,
    "amqp-value": 0x77,
    "footer": 0x78,
}
_SECTION_CODES = {
    Symbol(f"amqp:{name}:{kind}"): code for name, code in _NAMES.items() for kind in ("list", "map")
}
_SECTION_CODES |= {Symbol("amqp:data:binary"): _DATA, Symbol("amqp:amqp-value:*"): _VALUE}
_NO_PROPERTIES: tuple[Value, ...] = (None,) * len(PROPERTIES.fields)
_INDEX = {name: index for index, (name, _, _) in enumerate(PROPERTIES.fields)}


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was sent, without header fields that a broker owns and without delivery annotations.

    `properties` has all 13 fields in order. The `raw_...` are encoded sections, empty if the message has none;
    `raw_body` includes a footer. `ttl_ms` None: not given.
    """

    durable: bool = False
    priority: int | None = None
    ttl_ms: int | None = None
    annotations: Fields | None = None
    properties: tuple[Value, ...] = _NO_PROPERTIES
    application: Fields | None = None
    raw_properties: bytes = b""
    raw_application: bytes = b""
    raw_body: bytes = b""

    def value_of(self, name: str) -> Value:
        """A property by its AMQP name, such as `group_id`."""
        return self.properties[_INDEX[name]]

    @property
    def message_id(self) -> str | None:
        """The message id as text; ids of other types keep a form of their own."""
        value = self.properties[0]
        return None if value is None else str(value)

    @property
    def session_id(self) -> str | None:
        """The session that the message belongs to."""
        value = self.properties[10]
        return None if value is None else str(value)

    def annotation(self, name: str) -> Value:
        """A message annotation, or None."""
        return self.annotations.get(name) if self.annotations else None

    @property
    def size_bytes(self) -> int:
        """What the message costs to keep."""
        annotations = 64 * len(self.annotations or ())
        return len(self.raw_properties) + len(self.raw_application) + len(self.raw_body) + annotations

    def bare(self) -> bytes:
        """Properties, application properties and body, encoded."""
        return b"".join((self.raw_properties, self.raw_application, self.raw_body))

    def encode(self) -> bytes:
        """The whole message; `parse_message` reads it back."""
        ttl = None if self.ttl_ms is None else UInt(self.ttl_ms)
        priority = None if self.priority is None else UByte(self.priority)
        parts = [encode(HEADER.write(durable=self.durable, priority=priority, ttl=ttl))]
        if self.annotations:
            parts.append(encode(Described(ULong(_ANNOTATIONS), self.annotations)))
        return b"".join((*parts, self.bare()))

    def with_application(self, changes: Fields) -> Message:
        """The message with these application properties besides, or instead of, its own."""
        merged = {**(self.application or {}), **changes}
        return self.with_application_exactly(merged)

    def with_application_exactly(self, application: Fields) -> Message:
        """The message with these application properties and no others."""
        raw = encode(Described(ULong(_APPLICATION), application)) if application else b""
        return replace(self, application=application, raw_application=raw)

    def with_properties(self, changes: dict[str, Value]) -> Message:
        """The message with these properties changed; names as AMQP spells them, `message_id`."""
        values = list(self.properties)
        for name, value in changes.items():
            values[_INDEX[name]] = value
        raw = encode(Described(ULong(_PROPERTIES), values))
        return replace(self, properties=tuple(values), raw_properties=raw)


def parse_message(raw: bytes) -> Message:
    """Read and check an encoded message. Raises DecodeError."""
    durable, priority, ttl_ms = False, None, None
    annotations: Fields | None = None
    properties, application = _NO_PROPERTIES, None
    raw_properties = raw_application = b""
    position, last, body = 0, 0, -1
    while position < len(raw):
        code, start = _section(raw, position)
        if code < last or (code == last and code not in (_DATA, _SEQUENCE)):
            raise DecodeError("a message's sections are out of order")
        if code in (_SEQUENCE, _VALUE) and last in (_DATA, _SEQUENCE) and code != last:
            raise DecodeError("a message has bodies of two kinds")
        last = code
        if code in (_DATA, _SEQUENCE, _VALUE, _FOOTER):
            body = position if body < 0 else body
            end = _body_end(raw, start, code)
        else:
            value, end = decode(raw, start)
            if code == _HEADER:
                durable, priority, ttl_ms = _header(value)
            elif code == _PROPERTIES:
                properties, raw_properties = tuple(PROPERTIES.read(value)), raw[position:end]
            elif not isinstance(value, dict):
                raise DecodeError("a message section is not a map")
            elif code == _ANNOTATIONS:
                annotations = value
            elif code == _APPLICATION:
                application, raw_application = value, raw[position:end]
        position = end
    raw_body = raw[body:] if body >= 0 else b""
    if not raw_body:
        raise DecodeError("a message has no body")
    return Message(
        durable,
        priority,
        ttl_ms,
        annotations,
        properties,
        application,
        raw_properties,
        raw_application,
        raw_body,
    )


def split_batch(raw: bytes) -> list[bytes]:
    """The encoded messages within a batch: each is the content of one data section. Raises DecodeError."""
    messages = []
    position = 0
    while position < len(raw):
        code, start = _section(raw, position)
        if code == _DATA:
            content, position = decode(raw, start)
            if not isinstance(content, bytes):
                raise DecodeError("a data section does not hold bytes")
            messages.append(content)
        else:  # the envelope's own properties repeat the first message's
            position = skip(raw, start)
    if not messages:
        raise DecodeError("a batch has no messages")
    return messages


def body_value(message: Message) -> Value:
    """The body of a message that carries one AMQP value. Raises DecodeError for other bodies."""
    code, start = _section(message.raw_body, 0)
    if code != _VALUE:
        raise DecodeError("the body is not an AMQP value")
    return decode(message.raw_body, start)[0]


def value_message(value: Value, application: Fields, correlation_id: Value) -> bytes:
    """An encoded message with an AMQP value as body, as management and token links answer."""
    properties = PROPERTIES.write(correlation_id=correlation_id)
    sections = (properties, Described(ULong(_APPLICATION), application), Described(ULong(_VALUE), value))
    return b"".join(encode(section) for section in sections)


def _section(raw: bytes, position: int) -> tuple[int, int]:
    """The code of the section at `position`, and where its value begins."""
    if raw[position : position + 2] == b"\x00\x53" and position + 2 < len(raw):
        code, start = raw[position + 2], position + 3
    elif raw[position] == 0:
        descriptor, start = decode(raw, position + 1)
        code = int(descriptor) if isinstance(descriptor, ULong) else -1
        if isinstance(descriptor, Symbol):
            code = _SECTION_CODES.get(descriptor, -1)
    else:
        raise DecodeError("a message section has no descriptor")
    if not _HEADER <= code <= _FOOTER:
        raise DecodeError("a message section is of no known kind")
    return code, start


def _body_end(raw: bytes, start: int, code: int) -> int:
    if code != _DATA:
        return decode(raw, start)[1]
    end = skip(raw, start)
    if raw[start] not in (0xA0, 0xB0):
        raise DecodeError("a data section does not hold bytes")
    return end


def _header(value: Value) -> tuple[bool, int | None, int | None]:
    durable, priority, ttl, _, _ = HEADER.read(value)
    return (
        durable is True,
        int(priority) if isinstance(priority, int) else None,
        int(ttl) if isinstance(ttl, int) else None,
    )


_DELIVERY_HEADER = encode(HEADER.write(durable=True, delivery_count=UInt(70000)))[:-4]
_SEQUENCE_KEY = encode(Symbol("x-opt-sequence-number"))
_ENQUEUED_KEY = encode(Symbol("x-opt-enqueued-time"))
_LOCKED_KEY = encode(Symbol("x-opt-locked-until"))


def delivery_header(message: Message, delivery_count: int) -> bytes:
    """The header section of a delivery."""
    if message.ttl_ms is None and message.priority is None:
        return _DELIVERY_HEADER + delivery_count.to_bytes(4, "big")
    return encode(
        HEADER.write(
            durable=message.durable,
            priority=None if message.priority is None else UByte(message.priority),
            ttl=None if message.ttl_ms is None else UInt(message.ttl_ms),
            first_acquirer=delivery_count == 0,
            delivery_count=UInt(delivery_count),
        )
    )


def lock_token_annotation(token: bytes) -> bytes:
    """A section of delivery annotations with a lock token."""
    annotations: Fields = {Symbol("x-opt-lock-token"): UUID(bytes_le=token)}
    return encode(Described(ULong(_DELIVERY_ANNOTATIONS), annotations))


def delivery_annotations(sequence: int, enqueued_ms: int, locked_ms: int | None, others: Fields) -> bytes:
    """The annotations section of a delivery: the broker's three, then `others`."""
    parts = [
        _SEQUENCE_KEY, b"\x81", sequence.to_bytes(8, "big"),
        _ENQUEUED_KEY, b"\x83", enqueued_ms.to_bytes(8, "big", signed=True),
    ]  # fmt: skip
    if locked_ms is not None:
        parts += [_LOCKED_KEY, b"\x83", locked_ms.to_bytes(8, "big", signed=True)]
    count = len(parts) // 3 * 2
    for key, value in others.items():
        parts += [encode(key), encode(value)]
        count += 2
    body = b"".join(parts)
    return b"\x00\x53\x72\xd1" + (len(body) + 4).to_bytes(4, "big") + count.to_bytes(4, "big") + body
