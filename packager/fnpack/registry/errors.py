"""What can go wrong between fnpack and an image registry, with what to do about each.

No text here holds a password, a token or a signed address. What a registry says is quoted on one line and shortened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fnpack_triggers.errors import FnpackError

_QUOTED_CHARACTERS = 300


class RegistryError(FnpackError):
    """A registry failed or refused in a way that has no code of its own; the text quotes it.

    `registry` is its `host[:port]`, `repository` the repository concerned, if one is. `may_pass` says whether the same
    may work in a moment, `asked_s` how long the registry wants to be left alone, `status` and `answer_code` what it
    answered (413, `MANIFEST_BLOB_UNKNOWN`), if it did.
    """

    code = "FN468"
    may_pass = False
    asked_s: float | None = None
    status: int | None = None
    answer_code = ""

    def __init__(
        self, message: str, *, registry: str = "", repository: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.registry, self.repository = registry, repository


class ReferenceInvalid(RegistryError):  # noqa: N818 - says what it is
    """A text is no image reference."""

    code = "FN460"
    hint = (
        "An image reference is `registry/name:tag` or `registry/name@sha256:DIGEST`, "
        "such as `registry.example.com/team/score:1`."
    )

    def __init__(self, fault: str, text: str) -> None:
        safe = text if re.fullmatch(r"[\w./:@-]{1,200}", text) and "://" not in text else None
        super().__init__(
            f"`{safe}` is no image reference: {fault}" if safe else f"not an image reference: {fault}"
        )


class RegistryUnreachable(RegistryError):  # noqa: N818 - says what happened
    """No connection to a registry, its token server or its storage could be made."""

    code = "FN461"

    def __init__(self, host: str, reason: str, *, may_pass: bool = True, hint: str | None = None) -> None:
        super().__init__(
            f"`{host}` cannot be reached: {reason}",
            registry=host,
            hint=hint or f"Check the name and port of `{host}`, the network, and HTTPS_PROXY and NO_PROXY.",
        )
        self.may_pass = may_pass


class RegistryUnauthorised(RegistryError):  # noqa: N818 - says what happened
    """The registry or its token server wants a login, or does not take the one that was found.

    `tried` says in words where logins were looked for, one place each.
    """

    code = "FN462"

    def __init__(
        self, registry: str, repository: str, tried: Sequence[str], answer: str | None = None
    ) -> None:
        said = f" It says: {answer}." if answer else ""
        super().__init__(
            f"`{registry}` wants a login for `{repository or registry}` that it takes.{said} "
            f"Tried: {'; '.join(tried) or 'without a login'}",
            registry=registry,
            repository=repository,
            hint=f"{login_hint(registry)} Some registries answer so for a name that does not exist.",
        )
        self.tried, self.answer = tuple(tried), answer or None


class RegistryDenied(RegistryError):  # noqa: N818 - says what happened
    """The login is known, but may not do this."""

    code = "FN463"

    def __init__(
        self, registry: str, repository: str, action: str, tried: Sequence[str], answer: str = ""
    ) -> None:
        said = f" It says: {answer}." if answer else ""
        super().__init__(
            f"`{registry}` does not allow {action} `{repository}`.{said} "
            f"Tried: {'; '.join(tried) or 'without a login'}",
            registry=registry,
            repository=repository,
            hint=f"Does the repository exist, is its name yours, may this login do that? {login_hint(registry)}",
        )
        self.tried = tuple(tried)


class ImageNotFound(RegistryError):  # noqa: N818 - says what happened
    """There is no such repository, tag, digest or blob."""

    code = "FN464"


class TooLarge(RegistryError):  # noqa: N818 - says what happened
    """The registry, or a proxy before it, refuses a blob of this size, whole and in pieces."""

    code = "FN465"


class DigestMismatch(RegistryError):  # noqa: N818 - says what happened
    """Bytes are not those that their digest promises."""

    code = "FN466"


class TlsFailed(RegistryError):  # noqa: N818 - says what happened
    """No trusted, encrypted connection could be made."""

    code = "FN467"


class PlatformMissing(RegistryError):  # noqa: N818 - says what is wrong
    """The image is not there for this platform; `platforms` are those that it is for."""

    code = "FN469"

    def __init__(self, reference: str, platform: str, platforms: Sequence[str]) -> None:
        super().__init__(
            f"`{reference}` has no image for {platform}; it has {', '.join(platforms) or 'none at all'}",
            hint="Choose one of these with --platform, or another image.",
        )
        self.platforms = tuple(platforms)


class TransferBroken(RegistryError):  # noqa: N818 - says what happened
    """A connection broke off, or ran into its time limit, more often than it is tried again."""

    code = "FN470"
    may_pass = True


class ContentChanged(RegistryError):  # noqa: N818 - says what happened
    """A file to push became shorter, or cannot be read any more, while it was being pushed."""

    code = "FN471"


class CacheUnwritable(RegistryError):  # noqa: N818 - says what happened
    """A layer cannot be kept on this machine's disk: it is full, or the folder cannot be written."""

    code = "FN472"


class ProxyFailed(RegistryError):  # noqa: N818 - says what happened
    """The HTTP proxy in between refused, or its setting cannot be used."""

    code = "FN473"


class RateLimited(RegistryError):  # noqa: N818 - says what happened
    """The registry asks for fewer requests and did not relent while we waited."""

    code = "FN474"


class ManifestInvalid(RegistryError):  # noqa: N818 - says what it is
    """A manifest is none that images of today have: a format of before 2016, not JSON, or without what it must have."""

    code = "FN475"


def login_hint(registry: str) -> str:
    """What to type for a login that `registry` takes."""
    azure = registry.partition(":")[0].endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us"))
    command = f"docker login {registry}" if registry != "docker.io" else "docker login"
    if azure:
        command = f"az acr login --name {registry.partition('.')[0]}"
    return (
        f"Run `{command}`, or set FNPACK_REGISTRY_USERNAME and FNPACK_REGISTRY_PASSWORD (docs/registries.md)."
    )


def quoted(text: str) -> str:
    """What a stranger said, safe to show: one line, shortened, without control characters and secrets."""
    from fnpack.config.redact import addresses, shown

    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _QUOTED_CHARACTERS])
    line = addresses(shown(" ".join(printable.split())))
    return line if len(line) <= _QUOTED_CHARACTERS else line[: _QUOTED_CHARACTERS - 3] + "..."
