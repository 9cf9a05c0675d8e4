"""Pushes: the blobs that a repository lacks, several at a time, then the manifest and its tags."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from fnpack.oci.content import BytesContent, Content, Descriptor, Layer
from fnpack.parallel import beside, in_parallel
from fnpack.progress import Progress, ProgressEvent, Status, ignore
from fnpack.registry.base import RegistryBase
from fnpack.registry.blobs import Place, has_blob
from fnpack.registry.challenges import scope
from fnpack.registry.client import Registries
from fnpack.registry.errors import RegistryError
from fnpack.registry.manifests import put_manifest
from fnpack.registry.memory import PushedBlobs
from fnpack.registry.reference import Reference

BlobState = Literal["known", "present", "mounted", "pushed"]
_LOST = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_EVENTS_PER_S = 10


class PushResult(NamedTuple):
    """What a push did. `known` blobs were not asked about, `present` ones were there, `mounted` ones in another
    repository of the registry. `sent_bytes` are those of blobs, repeats included. `lists_referrers` says whether the
    registry itself lists a manifest with a subject under that.
    """

    reference: Reference  # with the digest
    manifest: Descriptor
    pushed: int = 0
    mounted: int = 0
    present: int = 0
    known: int = 0
    sent_bytes: int = 0
    lists_referrers: bool = False

    @property
    def digest(self) -> str:
        """The manifest's."""
        return self.manifest.digest


def push_image(
    target: Reference,
    *,
    manifest: BytesContent,
    config: Content,
    layers: Sequence[Layer],
    registries: Registries,
    base: RegistryBase | None = None,
    tags: Sequence[str] = (),
    progress: Progress = ignore,
    ready: Callable[[], None] = lambda: None,
) -> PushResult:
    """Push an image that is whole: `Push` says how, and what it raises."""
    push = Push(target, registries, base, progress)
    return push.image(manifest, config, layers, tags=tags, ready=ready)


def push_index(
    target: Reference,
    index: BytesContent,
    *,
    registries: Registries,
    tags: Sequence[str] = (),
    progress: Progress = ignore,
) -> PushResult:
    """Push an index under the target's tag and each of `tags`; its images must be in the repository already."""
    return Push(target, registries, None, progress).index(index, tags)


class Push:
    """A push to a repository. Blobs may go up before the image is whole; nobody sees them without its manifest.

    Layers that `base` holds are mounted where it is in the same registry, and else streamed from there. Events are
    told one at a time. What goes wrong is raised by `image` and `index`: RegistryUnauthorised, RegistryDenied,
    TooLarge, TransferBroken and the other errors of this package.
    """

    def __init__(
        self,
        target: Reference,
        registries: Registries,
        base: RegistryBase | None = None,
        progress: Progress = ignore,
    ) -> None:
        registries.intend(target, *([base.reference] if base else []))
        self._target, self._registries, self._base, self._progress = target, registries, base, progress
        self._scopes = scope(target.repository, "pull", "push")
        self._place = Place(registries, registries.of(target), target.repository, self._scopes)
        self._pushed = PushedBlobs(registries.memory, target.name)
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(registries.settings.workers)
        self._begun: dict[str, Callable[[], None]] = {}
        self._count: Counter[BlobState] = Counter()
        self._sent_bytes, self._lists_referrers = 0, False

    def begin(self, content: Content, title: str) -> None:
        """Send a blob that was made just now, on a thread of its own; `image` waits for it."""
        digest = content.descriptor.digest
        if digest not in self._pushed.known():
            self._begun[digest] = beside(lambda: self._early(content, title))

    def image(
        self,
        manifest: BytesContent,
        config: Content,
        layers: Sequence[Layer],
        *,
        tags: Sequence[str] = (),
        by_digest: bool = False,
        ready: Callable[[], None] = lambda: None,
    ) -> PushResult:
        """Send the blobs that the repository lacks, then the manifest under the target's tag and each of `tags`.

        A target with a digest gives no tag away, nor does `by_digest`: so the images of an index are pushed. `ready` is
        called before the manifest; what it raises ends the push.
        """
        blobs = [(layer.content, layer.title) for layer in layers] + [(config, "config")]
        for known in (self._pushed.known(), frozenset[str]()):
            self._blobs(blobs, known)
            ready()
            try:
                self._manifest(manifest, tags, by_digest=by_digest)
            except RegistryError as exc:
                if exc.answer_code not in _LOST or not self._count["known"]:
                    raise
                self._pushed.forget()  # and look at each
                self._count.clear()
            else:
                self._pushed.remember(content.descriptor.digest for content, _ in blobs)
                break
        return self._result(manifest)

    def index(self, index: BytesContent, tags: Sequence[str] = ()) -> PushResult:
        """Put an index under the target's tag and each of `tags`; its images must be in the repository already."""
        self._manifest(index, tags, by_digest=False)
        return self._result(index)

    def _blobs(self, blobs: Sequence[tuple[Content, str]], known: frozenset[str]) -> None:
        """Bring all blobs there, each once, the largest first."""
        different = {content.descriptor.digest: (content, title) for content, title in blobs}
        for digest, (content, title) in different.items():
            if digest in known:
                with self._step(title, content) as step:
                    step.detail, step.is_cached = "known", True
                self._count["known"] += 1
        unknown = [blob for digest, blob in different.items() if digest not in known]
        unknown.sort(key=lambda blob: -blob[0].descriptor.size_bytes)
        in_parallel(
            lambda blob, stopped: self._blob(*blob, stopped), unknown, self._registries.settings.workers
        )

    def _manifest(self, manifest: BytesContent, tags: Sequence[str], *, by_digest: bool) -> None:
        """Put the manifest under each tag. A digest in the target says that its tag is not meant."""
        own = None if by_digest or self._target.digest else self._target.tag
        targets = [self._target.tagged(tag) for tag in dict.fromkeys([own, *tags]) if tag]
        for target in targets or [self._target.at(manifest.descriptor.digest)]:
            with self._step(str(target), manifest) as step:
                self._lists_referrers = put_manifest(self._registries, target, manifest, self._scopes)
                step.detail = manifest.descriptor.digest

    def _result(self, manifest: BytesContent) -> PushResult:
        return PushResult(
            self._target.at(manifest.descriptor.digest),
            manifest.descriptor,
            sent_bytes=self._sent_bytes,
            lists_referrers=self._lists_referrers,
            **{state: self._count[state] for state in ("pushed", "mounted", "present", "known")},
        )

    def _early(self, content: Content, title: str) -> None:
        with self._slots:
            self._send(content, title, threading.Event())

    def _blob(self, content: Content, title: str, stopped: threading.Event) -> None:
        begun = self._begun.pop(content.descriptor.digest, None)
        if begun is not None:
            begun()
        else:
            self._send(content, title, stopped)

    def _send(self, content: Content, title: str, stopped: threading.Event) -> None:
        with self._step(title, content) as step:
            state = self._bring(content, step.at, stopped)
            step.detail, step.is_cached = state, state != "pushed"
        with self._lock:
            self._count[state] += 1

    def _bring(self, content: Content, at: Callable[[int], None], stopped: threading.Event) -> BlobState:
        descriptor, source = content.descriptor, None
        if self._base is not None and self._base.holds(descriptor.digest):
            content = next(one for one in self._base.layers() if one.descriptor.digest == descriptor.digest)
            if self._base.reference.registry == self._target.registry:
                source = self._base.reference.repository
        if source == self._target.repository:
            return "present"
        asks = source is None and descriptor.size_bytes >= self._registries.settings.ask_first_bytes
        if asks and has_blob(self._place.registry, self._target.repository, descriptor.digest, self._scopes):
            return "present"
        from fnpack.registry.upload import Upload

        upload = Upload(self._place, content, at, stopped)
        try:
            return upload.run(source)
        finally:
            with self._lock:
                self._sent_bytes += upload.sent_bytes

    def _step(self, title: str, content: Content) -> _Step:
        descriptor = content.descriptor
        return _Step(f"push {title or descriptor.digest[:19]}", descriptor.size_bytes, self._tell)

    def _tell(self, event: ProgressEvent) -> None:
        with self._lock:
            self._progress(event)


class _Step:
    """The events of one piece of a push: started, some of running, and done, cached or failed."""

    def __init__(self, name: str, total_bytes: int, tell: Progress) -> None:
        self._name, self._total, self._tell = name, total_bytes, tell
        self._since = self._told = time.monotonic()
        self.detail, self.is_cached = "", False

    def at(self, position: int) -> None:
        now = time.monotonic()
        if now - self._told >= 1 / _EVENTS_PER_S:
            self._told = now
            self._tell(ProgressEvent(self._name, "running", "", position, self._total))

    def __enter__(self) -> _Step:
        self._tell(ProgressEvent(self._name, "started", total_bytes=self._total))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        status: Status = "failed" if kind else "cached" if self.is_cached else "done"
        reached = None if kind else self._total
        duration_s = time.monotonic() - self._since
        self._tell(ProgressEvent(self._name, status, self.detail, reached, self._total, duration_s))
