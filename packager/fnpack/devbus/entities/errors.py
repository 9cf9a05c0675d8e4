"""Why the broker refuses something, with the AMQP condition and the status that clients expect."""

from __future__ import annotations

from fnpack_triggers.errors import ServiceError


class BusError(ServiceError):
    """A refusal. `condition` goes into AMQP errors, `status` into management answers."""

    code = "FN560"
    condition = "amqp:internal-error"
    status = 500


class EntityNotFoundError(BusError):
    """There is no such queue, topic or subscription."""

    condition, status = "amqp:not-found", 404


class MessageNotFoundError(BusError):
    """There is no such message in the state asked for."""

    condition, status = "com.microsoft:message-not-found", 404


class NotAllowedError(BusError):
    """The entity does not work that way."""

    condition, status = "amqp:not-allowed", 400


class UnsupportedError(BusError):
    """The real service has it, this one has not."""

    condition, status = "amqp:not-implemented", 501


class MalformedError(BusError):
    """A request lacks something or has the wrong types."""

    condition, status = "com.microsoft:argument-error", 400


class OutOfRangeError(BusError):
    """A value is longer than the service allows."""

    condition, status = "com.microsoft:argument-out-of-range", 400


class UndecodableError(BusError):
    """A message that is not AMQP."""

    condition, status = "amqp:decode-error", 400


class MessageLockLostError(BusError):
    """The lock has expired, or the message is settled already."""

    condition, status = "com.microsoft:message-lock-lost", 410


class SessionLockLostError(BusError):
    """The session's lock has expired."""

    condition, status = "com.microsoft:session-lock-lost", 410


class SessionCannotBeLockedError(BusError):
    """Another receiver holds the session."""

    condition, status = "com.microsoft:session-cannot-be-locked", 409


class MessageSizeError(BusError):
    """The message is larger than the entity takes."""

    condition, status = "amqp:link:message-size-exceeded", 413


class QuotaError(BusError):
    """The entity is full."""

    condition, status = "amqp:resource-limit-exceeded", 403


class ConflictError(BusError):
    """The thing exists already."""

    condition, status = "com.microsoft:entity-already-exists", 409
