"""One wheel's share of a layer: its files in order, the compiled modules among them, RECORD at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.oci.installed import InstalledFile, installed_files, modules, record_path, record_text
from fnpack.oci.place import Place
from fnpack.oci.pyc import Module, Pack, compiled, pyc_path
from fnpack.oci.wheel import Member, Wheel, read_wheel, record_digest
from fnpack.oci.writer import DeflateFault, LayerWriter

if TYPE_CHECKING:
    from typing import BinaryIO

    from fnpack.dependencies.wheels import WheelFile
    from fnpack.oci.cache import LayerCache
    from fnpack.oci.pythons import Interpreter


@dataclass(frozen=True, slots=True)
class WheelPart:
    """What a wheel puts into a layer. `compiled` maps paths of compiled modules to their numbers in the pack."""

    wheel: Wheel
    root: str  # relative to the image's root
    files: Sequence[InstalledFile]
    compiled: dict[str, int]
    pack: Pack | None

    @classmethod
    def plan(
        cls,
        file: WheelFile,
        place: Place,
        compiler: Interpreter | None,
        left_out: Set[str],
        cache: LayerCache,
    ) -> WheelPart:
        """Check the wheel, and compile its modules if `compiler` is given. Raises WheelInvalid, CompileFailed."""
        wheel = read_wheel(file.path, file.filename)
        with file.path.open("rb") as archive:
            files = [one for one in installed_files(wheel, place, archive) if one.path not in left_out]
            if compiler is None:
                return cls(wheel, place.root.strip("/"), files, {}, None)
            wanted = modules(files)
            identity = "\0".join((file.sha256, place.root, str(place.is_slim), *sorted(left_out)))
            sources = _sources(wheel, wanted, place.root, archive)
            pack = compiled(identity, sources, len(wanted), compiler, cache)
        taken = {one.path for one in files}
        places = {
            path: number
            for number, one in enumerate(wanted)
            if (path := pyc_path(one.path, compiler)) not in taken and pack.spans[number][1]
        }
        return cls(wheel, place.root.strip("/"), files, places, pack)

    def paths(self) -> list[str]:
        """Every file in the image, relative to its root."""
        own = [*(one.path for one in self.files), *self.compiled, record_path(self.wheel)]
        return [f"{self.root}/{path}" for path in own]

    def write(self, writer: LayerWriter) -> None:
        """Write the files, each checked against RECORD on the way. Raises WheelInvalid."""
        record = record_text(self.wheel, self.files, self.compiled)
        with self.wheel.path.open("rb") as archive:
            for path, one in sorted(
                [*((one.path, one) for one in self.files), *((p, None) for p in self.compiled)]
            ):
                if one is None:
                    self._write_compiled(writer, path)
                elif one.data is not None:
                    mode = 0o755 if one.is_executable else 0o644
                    writer.stored(f"{self.root}/{path}", one.data, mode=mode)
                elif one.member is not None:
                    self._write_member(writer, path, one.member, archive)
        writer.stored(f"{self.root}/{record_path(self.wheel)}", record)

    def _write_member(self, writer: LayerWriter, path: str, member: Member, archive: BinaryIO) -> None:
        digest = hashlib.sha256()
        try:
            writer.deflated(
                f"{self.root}/{path}",
                self.wheel.deflated(member, archive),
                member.size_bytes,
                member.crc,
                mode=0o755 if member.is_executable else 0o644,
                watcher=digest,
            )
        except DeflateFault as exc:
            raise self.wheel.broken(member.name, str(exc)) from exc
        expected = self.wheel.record.get(member.name)
        if expected is not None and record_digest(digest.digest()) != expected:
            raise self.wheel.broken(member.name, "does not have the digest that RECORD says")

    def _write_compiled(self, writer: LayerWriter, path: str) -> None:
        assert self.pack is not None
        offset, length = self.pack.spans[self.compiled[path]]
        with self.pack.path.open("rb") as pack:
            pack.seek(offset)
            writer.stored(f"{self.root}/{path}", pack.read(length))


def _sources(wheel: Wheel, wanted: Sequence[InstalledFile], root: str, archive: BinaryIO) -> Iterator[Module]:
    for one in wanted:
        source = one.data if one.member is None else wheel.read(one.member, archive)
        yield Module(f"{root}/{one.path}", source or b"")
