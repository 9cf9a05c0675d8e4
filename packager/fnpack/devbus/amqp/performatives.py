"""The performatives of AMQP 1.0: names, types and order of their fields; checked when read, complete when written."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fnpack.devbus.amqp.types import (
    Array,
    DecodeError,
    Described,
    Fields,
    Symbol,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
)

_ANY = object
_MANY = (Array, Symbol, list)
_Kinds = type | tuple[type, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A performative: its name, code, and for each field a name, the types allowed, and whether it must be there."""

    name: str
    code: int
    fields: tuple[tuple[str, _Kinds, bool], ...]

    def read(self, value: Value) -> list[Value]:
        """All fields in order; those left out at the end are None. Raises DecodeError."""
        if not isinstance(value, list) or len(value) > len(self.fields):
            raise DecodeError(f"{self.name} is not a list of {len(self.fields)} fields")
        value = value + [None] * (len(self.fields) - len(value))
        for item, (name, kinds, mandatory) in zip(value, self.fields, strict=True):
            if item is None:
                if mandatory:
                    raise DecodeError(f"{self.name} has no {name}")
            elif not isinstance(item, kinds):
                raise DecodeError(f"{name} of {self.name} has the wrong type")
        return value

    def write(self, **given: Value) -> Described:
        """The performative with these fields and null for all others: 7.14 clients index the list blindly."""
        values: list[Value] = [given.pop(name, None) for name, _, _ in self.fields]
        if given:
            raise TypeError(f"{self.name} has no {', '.join(given)}")
        return Described(ULong(self.code), values)


OPEN = Shape(
    "open",
    0x10,
    (
        ("container_id", str, True),
        ("hostname", str, False),
        ("max_frame_size", UInt, False),
        ("channel_max", UShort, False),
        ("idle_time_out", UInt, False),
        ("outgoing_locales", _MANY, False),
        ("incoming_locales", _MANY, False),
        ("offered_capabilities", _MANY, False),
        ("desired_capabilities", _MANY, False),
        ("properties", dict, False),
    ),
)
BEGIN = Shape(
    "begin",
    0x11,
    (
        ("remote_channel", UShort, False),
        ("next_outgoing_id", UInt, True),
        ("incoming_window", UInt, True),
        ("outgoing_window", UInt, True),
        ("handle_max", UInt, False),
        ("offered_capabilities", _MANY, False),
        ("desired_capabilities", _MANY, False),
        ("properties", dict, False),
    ),
)
ATTACH = Shape(
    "attach",
    0x12,
    (
        ("name", str, True),
        ("handle", UInt, True),
        ("role", bool, True),
        ("snd_settle_mode", UByte, False),
        ("rcv_settle_mode", UByte, False),
        ("source", Described, False),
        ("target", Described, False),
        ("unsettled", dict, False),
        ("incomplete_unsettled", bool, False),
        ("initial_delivery_count", UInt, False),
        ("max_message_size", ULong, False),
        ("offered_capabilities", _MANY, False),
        ("desired_capabilities", _MANY, False),
        ("properties", dict, False),
    ),
)
FLOW = Shape(
    "flow",
    0x13,
    (
        ("next_incoming_id", UInt, False),
        ("incoming_window", UInt, True),
        ("next_outgoing_id", UInt, True),
        ("outgoing_window", UInt, True),
        ("handle", UInt, False),
        ("delivery_count", UInt, False),
        ("link_credit", UInt, False),
        ("available", UInt, False),
        ("drain", bool, False),
        ("echo", bool, False),
        ("properties", dict, False),
    ),
)
TRANSFER = Shape(
    "transfer",
    0x14,
    (
        ("handle", UInt, True),
        ("delivery_id", UInt, False),
        ("delivery_tag", bytes, False),
        ("message_format", UInt, False),
        ("settled", bool, False),
        ("more", bool, False),
        ("rcv_settle_mode", UByte, False),
        ("state", Described, False),
        ("resume", bool, False),
        ("aborted", bool, False),
        ("batchable", bool, False),
    ),
)
DISPOSITION = Shape(
    "disposition",
    0x15,
    (
        ("role", bool, True),
        ("first", UInt, True),
        ("last", UInt, False),
        ("settled", bool, False),
        ("state", Described, False),
        ("batchable", bool, False),
    ),
)
DETACH = Shape("detach", 0x16, (("handle", UInt, True), ("closed", bool, False), ("error", Described, False)))
END = Shape("end", 0x17, (("error", Described, False),))
CLOSE = Shape("close", 0x18, (("error", Described, False),))
SOURCE = Shape(
    "source",
    0x28,
    (
        ("address", _ANY, False),
        ("durable", UInt, False),
        ("expiry_policy", Symbol, False),
        ("timeout", UInt, False),
        ("dynamic", bool, False),
        ("dynamic_node_properties", dict, False),
        ("distribution_mode", Symbol, False),
        ("filter", dict, False),
        ("default_outcome", Described, False),
        ("outcomes", _MANY, False),
        ("capabilities", _MANY, False),
    ),
)
TARGET = Shape(
    "target",
    0x29,
    (
        ("address", _ANY, False),
        ("durable", UInt, False),
        ("expiry_policy", Symbol, False),
        ("timeout", UInt, False),
        ("dynamic", bool, False),
        ("dynamic_node_properties", dict, False),
        ("capabilities", _MANY, False),
    ),
)
ERROR = Shape(
    "error", 0x1D, (("condition", Symbol, True), ("description", str, False), ("info", dict, False))
)
ACCEPTED = Shape("accepted", 0x24, ())
REJECTED = Shape("rejected", 0x25, (("error", Described, False),))
RELEASED = Shape("released", 0x26, ())
MODIFIED = Shape(
    "modified",
    0x27,
    (
        ("delivery_failed", bool, False),
        ("undeliverable_here", bool, False),
        ("message_annotations", dict, False),
    ),
)
SASL_MECHANISMS = Shape("sasl-mechanisms", 0x40, (("sasl_server_mechanisms", _MANY, True),))
SASL_INIT = Shape(
    "sasl-init",
    0x41,
    (("mechanism", Symbol, True), ("initial_response", bytes, False), ("hostname", str, False)),
)
SASL_OUTCOME = Shape("sasl-outcome", 0x44, (("code", UByte, True), ("additional_data", bytes, False)))
HEADER = Shape(
    "header",
    0x70,
    (
        ("durable", bool, False),
        ("priority", UByte, False),
        ("ttl", UInt, False),
        ("first_acquirer", bool, False),
        ("delivery_count", UInt, False),
    ),
)
PROPERTIES = Shape(
    "properties",
    0x73,
    (
        ("message_id", (str, ULong, UUID, bytes), False),
        ("user_id", bytes, False),
        ("to", str, False),
        ("subject", str, False),
        ("reply_to", str, False),
        ("correlation_id", (str, ULong, UUID, bytes), False),
        ("content_type", str, False),
        ("content_encoding", str, False),
        ("absolute_expiry_time", int, False),
        ("creation_time", int, False),
        ("group_id", str, False),
        ("group_sequence", UInt, False),
        ("reply_to_group_id", str, False),
    ),
)

_SYMBOLS = {f"amqp:{shape.name}:list": shape.code for shape in (SOURCE, TARGET, ERROR, ACCEPTED, REJECTED)}
_SYMBOLS |= {f"amqp:{shape.name}:list": shape.code for shape in (RELEASED, MODIFIED)}


def code_of(described: Described) -> int:
    """The number of a descriptor, also when it came as a symbol; -1 for one that is not known."""
    descriptor = described.descriptor
    if isinstance(descriptor, ULong):
        return int(descriptor)
    return _SYMBOLS.get(descriptor, -1) if isinstance(descriptor, Symbol) else -1


def read_described(shape: Shape, value: Value) -> list[Value] | None:
    """The fields of a described list, or None if it is something else. Raises DecodeError for bad fields."""
    if not isinstance(value, Described) or code_of(value) != shape.code:
        return None
    return shape.read(value.value)


def error(condition: str, description: str, info: Fields | None = None) -> Described:
    """An AMQP error."""
    return ERROR.write(condition=Symbol(condition), description=description, info=info)
