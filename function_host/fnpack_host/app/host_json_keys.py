"""Every key of host.json version 2: its kind and range, and what it means to this host.

The table drives validation, which looks at all values when the app is loaded, and the reference in the documents.
Source: the host.json v2 reference and the option classes of Azure's host and extensions.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

TEXT, INTEGER, NUMBER, FLAG = "text", "whole number", "number", "true or false"
TIME_SPAN, TEXTS, ANY = "time span", "list of texts", "anything"
LEVELS = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")
MAX_INT = 2**31 - 1
DAY_S = 86400.0


class Use(Enum):
    """What this host does with a key."""

    HONOURED = "honoured"
    NO_MEANING = "accepted; it has no meaning here"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `minimum` and `maximum` bound numbers, and time spans in seconds; `choices` compare without case.

    A path that ends in `.*` stands for all names below it. `special` is a value outside the range that is allowed.
    """

    path: str
    kind: str
    meaning: str
    use: Use = Use.HONOURED
    default: str = ""
    minimum: float = 0
    maximum: float = MAX_INT
    choices: tuple[str, ...] = ()
    special: str = ""

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind == INTEGER:
            return f"a whole number from {self.minimum:g} to {int(self.maximum)}"
        if self.kind == NUMBER:
            return f"a number from {self.minimum:g} to {self.maximum:g}"
        if self.kind == TIME_SPAN:
            bounds = f" from {_span(self.minimum)}" if self.minimum else ""
            bounds += f" to {_span(self.maximum)}" if self.maximum < MAX_INT else ""
            return f"a time span such as 00:05:00{bounds}" + (
                f", or {self.special} for no bound" if self.special else ""
            )
        return {FLAG: "true or false", TEXT: "a string", TEXTS: "a list of strings"}.get(
            self.kind, "anything"
        )


def _honoured() -> list[Key]:
    return [
        Key("version", TEXT, "the schema's version", choices=("2.0",)),
        Key("functionTimeout", TIME_SPAN, "the longest a call may take", default="00:30:00", minimum=1, special="-1"),
        Key("functions", TEXTS, "the functions to load; all where it is absent"),
        Key("retry.strategy", TEXT, "how failed calls are repeated", choices=("fixedDelay", "exponentialBackoff")),
        Key("retry.maxRetryCount", INTEGER, "repeats of a failed call; -1 for no bound", minimum=-1),
        Key("retry.delayInterval", TIME_SPAN, "the wait between repeats"),
        Key("retry.minimumInterval", TIME_SPAN, "the first wait of a growing one"),
        Key("retry.maximumInterval", TIME_SPAN, "the longest wait of a growing one"),
        *_http(),
        Key(
            "extensions.blobs.maxDegreeOfParallelism", INTEGER, "blobs run at once", default="8 per core", minimum=1
        ),
        Key("extensions.blobs.poisonBlobThreshold", INTEGER, "attempts before it is poison", default="5", minimum=1),
        Key("extensions.queues.batchSize", INTEGER, "messages taken at once", default="16", minimum=1, maximum=32),
        Key("extensions.queues.newBatchThreshold", INTEGER, "take more when so few are left", default="batchSize / 2"),
        Key("extensions.queues.maxPollingInterval", TIME_SPAN, "the longest wait between polls", default="00:01:00"),
        Key("extensions.queues.visibilityTimeout", TIME_SPAN, "how long failed ones hide", default="00:00:00"),
        Key("extensions.queues.maxDequeueCount", INTEGER, "attempts before it is poison", default="5", minimum=1),
        Key(
            "extensions.queues.messageEncoding", TEXT, "how messages are written", default="base64",
            choices=("base64", "none"),
        ),
        *_service_bus(),
        Key("logging.logLevel.*", TEXT, "the level from which a category is logged", choices=LEVELS),
        Key("extensionBundle.id", TEXT, "shown in the host's status"),
        Key("extensionBundle.version", TEXT, "shown in the host's status"),
    ]  # fmt: skip


def _http() -> list[Key]:
    below = "extensions.http"
    return [
        Key(f"{below}.routePrefix", TEXT, "what the paths of functions begin with", default="api"),
        Key(f"{below}.maxConcurrentRequests", INTEGER, "requests at once; -1 for no bound", default="-1", minimum=-1),
        Key(
            f"{below}.maxOutstandingRequests", INTEGER, "requests run or waiting, more get 429; -1 for no bound",
            default="-1", minimum=-1,
        ),
        Key(f"{below}.customHeaders.*", TEXT, "a header added to every response that lacks it"),
        Key(f"{below}.hsts.isEnabled", FLAG, "send Strict-Transport-Security over https", default="false"),
        Key(f"{below}.hsts.maxAge", TIME_SPAN, "how long browsers insist on https", default="30.00:00:00"),
        Key(f"{below}.hsts.includeSubDomains", FLAG, "https for subdomains, too", default="false"),
        Key(f"{below}.hsts.preload", FLAG, "allow browsers to ship the rule", default="false"),
        Key(f"{below}.hsts.excludedHosts", TEXTS, "hosts without the header", default="localhost"),
    ]  # fmt: skip


def _service_bus() -> list[Key]:
    below = "extensions.serviceBus"
    retry = f"{below}.clientRetryOptions"
    return [
        Key(f"{retry}.mode", TEXT, "how waits grow", default="Exponential", choices=("Exponential", "Fixed")),
        Key(f"{retry}.tryTimeout", TIME_SPAN, "the longest one attempt may take", default="00:01:00"),
        Key(f"{retry}.delay", TIME_SPAN, "the first wait", default="00:00:00.800"),
        Key(f"{retry}.maxDelay", TIME_SPAN, "the longest wait", default="00:01:00"),
        Key(f"{retry}.maxRetries", INTEGER, "repeats of a failed operation", default="3", maximum=100),
        Key(f"{below}.prefetchCount", INTEGER, "messages fetched ahead", default="0"),
        Key(
            f"{below}.transportType", TEXT, "how the service is reached", default="amqpTcp",
            choices=("amqpTcp", "amqpWebSockets"),
        ),
        Key(f"{below}.webProxy", TEXT, "the proxy for web sockets"),
        Key(f"{below}.autoCompleteMessages", FLAG, "complete a message when its call succeeded", default="true"),
        Key(
            f"{below}.maxAutoLockRenewalDuration", TIME_SPAN, "how long locks are renewed", default="00:05:00",
            special="-00:00:00.0010000",
        ),
        Key(f"{below}.maxConcurrentCalls", INTEGER, "messages run at once", default="16 per core", minimum=1),
        Key(f"{below}.maxConcurrentSessions", INTEGER, "sessions run at once", default="8", minimum=1),
        Key(f"{below}.maxConcurrentCallsPerSession", INTEGER, "messages of a session at once", default="1", minimum=1),
        Key(f"{below}.maxMessageBatchSize", INTEGER, "the largest batch", default="1000", minimum=1),
        Key(f"{below}.minMessageBatchSize", INTEGER, "the smallest batch", default="1", minimum=1),
        Key(f"{below}.maxBatchWaitTime", TIME_SPAN, "the wait for a batch to fill", default="00:00:30", maximum=150),
        Key(f"{below}.sessionIdleTimeout", TIME_SPAN, "the wait for a session's next message", default="tryTimeout"),
        Key(f"{below}.enableCrossEntityTransactions", FLAG, "transactions over entities", Use.NO_MEANING),
        Key(f"{below}.messageHandlerOptions.autoComplete", FLAG, "old name of autoCompleteMessages"),
        Key(f"{below}.messageHandlerOptions.maxAutoRenewDuration", TIME_SPAN, "old name of maxAutoLockRenewalDuration"),
        Key(f"{below}.messageHandlerOptions.maxConcurrentCalls", INTEGER, "old name of maxConcurrentCalls", minimum=1),
        Key(f"{below}.sessionHandlerOptions.autoComplete", FLAG, "old name of autoCompleteMessages"),
        Key(f"{below}.sessionHandlerOptions.maxAutoRenewDuration", TIME_SPAN, "old name of maxAutoLockRenewalDuration"),
        Key(
            f"{below}.sessionHandlerOptions.maxConcurrentSessions", INTEGER, "old name of maxConcurrentSessions",
            minimum=1,
        ),
        Key(f"{below}.sessionHandlerOptions.messageWaitTime", TIME_SPAN, "old name of sessionIdleTimeout"),
        Key(f"{below}.batchOptions.autoComplete", FLAG, "old name of autoCompleteMessages"),
        Key(f"{below}.batchOptions.maxMessageCount", INTEGER, "old name of maxMessageBatchSize", minimum=1),
        Key(f"{below}.batchOptions.operationTimeout", TIME_SPAN, "old name of maxBatchWaitTime"),
    ]  # fmt: skip


def _without_meaning() -> list[Key]:
    """Keys of Azure's host that change nothing here, with the reason."""
    none = Use.NO_MEANING
    locks = "one host at a time is chosen by leases of this host's own length"
    health = "the platform's probes of /admin/host/ping take this place"
    insights = "telemetry goes to the log"
    fixed = "calls run at once are bounded by the triggers' own keys"
    return [
        Key(
            "extensions.http.dynamicThrottlesEnabled", FLAG, "throttles by counters of Azure's sandbox", none
        ),
        Key(
            "extensions.http.enableChunkedRequestBinding",
            FLAG,
            "bodies sent in chunks always reach functions",
            none,
        ),
        *(
            Key(f"singleton.{name}", TIME_SPAN, locks, none, minimum=15, maximum=60)
            for name in ("lockPeriod", "listenerLockPeriod")
        ),
        *(
            Key(f"singleton.{name}", TIME_SPAN, locks, none)
            for name in (
                "listenerLockRecoveryPollingInterval",
                "lockAcquisitionTimeout",
                "lockAcquisitionPollingInterval",
            )
        ),
        Key("healthMonitor.enabled", FLAG, health, none),
        Key("healthMonitor.healthCheckInterval", TIME_SPAN, health, none),
        Key("healthMonitor.healthCheckWindow", TIME_SPAN, health, none),
        Key("healthMonitor.healthCheckThreshold", INTEGER, health, none),
        Key("healthMonitor.counterThreshold", NUMBER, health, none, maximum=1),
        Key("concurrency.dynamicConcurrencyEnabled", FLAG, fixed, none),
        Key("concurrency.maximumFunctionConcurrency", INTEGER, fixed, none, minimum=1),
        Key("concurrency.totalAvailableMemoryBytes", INTEGER, fixed, none, maximum=2**63 - 1),
        Key("concurrency.CPUThreshold", NUMBER, fixed, none, maximum=1),
        Key("concurrency.snapshotPersistenceEnabled", FLAG, fixed, none),
        Key(
            "logging.fileLoggingMode",
            TEXT,
            "the log is never a file",
            none,
            choices=("never", "always", "debugOnly"),
        ),
        Key("logging.console.isEnabled", FLAG, "the log always goes to the console", none),
        Key("logging.console.*", ANY, "the log always goes to the console", none),
        Key("logging.applicationInsights.*", ANY, insights, none),
        Key("aggregator.batchSize", INTEGER, insights, none, minimum=1),
        Key("aggregator.flushTimeout", TIME_SPAN, insights, none),
        Key("telemetryMode", TEXT, insights, none),
        Key("extensionBundle.*", ANY, "bindings are built in", none),
        Key("managedDependency.*", ANY, "PowerShell only", none),
        Key("managedDependencies.*", ANY, "PowerShell only", none),
        Key("customHandler.*", ANY, "this host runs Python functions", none),
        Key("watchDirectories", TEXTS, "files are not watched", none),
        Key("watchFiles", TEXTS, "files are not watched", none),
        Key("sendCanceledInvocationsToWorker", FLAG, "no call is cancelled before a worker has it", none),
        Key("metadataProviderTimeout", TIME_SPAN, "functions are found while the worker starts", none),
        *(
            Key(f"{root}.*", ANY, f"a key of version 1; version 2 reads extensions.{root}", none)
            for root in ("http", "queues", "serviceBus", "eventHub")
        ),
    ]


KEYS: tuple[Key, ...] = (*_honoured(), *_without_meaning())
_BY_PATH: Mapping[str, Key] = {key.path.lower(): key for key in KEYS if not key.path.endswith(".*")}
_BELOW: Mapping[str, Key] = {key.path[:-1].lower(): key for key in KEYS if key.path.endswith(".*")}


def key_of(path: str) -> Key | None:
    """What the table says of a path (any case)."""
    path = path.lower()
    if path in _BY_PATH:
        return _BY_PATH[path]
    return next((key for prefix, key in _BELOW.items() if path.startswith(prefix)), None)


def is_section(path: str) -> bool:
    """Whether keys of the table lie below a path."""
    prefix = path.lower() + "."
    return any(known.startswith(prefix) for known in (*_BY_PATH, *_BELOW))


def similar(path: str) -> str:
    """The key that was probably meant, or an empty text."""
    found = difflib.get_close_matches(path.lower(), list(_BY_PATH), n=1, cutoff=0.85)
    return _BY_PATH[found[0]].path if found else ""


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"
