"""Layers that tell of being read, wherever they are written to."""

from __future__ import annotations

from pathlib import Path

from fnpack.daemonless.told_layers import told_image
from fnpack.oci.content import LAYER, BytesContent, Layer
from fnpack.oci.image import ImageSettings, build
from fnpack.oci.outputs import write_archive, write_layout
from fnpack.progress import ProgressEvent

DATA = bytes(3000)


def test_each_layer_that_is_written_tells_it_with_its_bytes(tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    content = BytesContent.of(DATA, LAYER)
    layer = Layer(content, content.descriptor.digest, "numpy 2.2.6")
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    image = build(config, [], [layer], ImageSettings({}, {}), created="1970-01-01T00:00:00Z", annotations={})
    told = told_image(image, events.append)
    assert told.digest == image.digest
    assert write_layout([told], tmp_path / "out").descriptor.digest == image.digest
    expected = [
        ("write numpy 2.2.6", "started", "", 0, 3000),
        ("write numpy 2.2.6", "done", "written", 3000, 3000),
    ]
    assert [(e.step, e.status, e.detail, e.current_bytes, e.total_bytes) for e in events] == expected
    write_layout([told], tmp_path / "out")
    assert len(events) == 2, "what is there is not read"
    write_archive(told, tmp_path / "image.tar", "a:1")
    assert len(events) == 4


def test_layer_that_is_not_read_to_its_end_has_failed() -> None:
    events: list[ProgressEvent] = []
    content = BytesContent.of(DATA, LAYER)
    layer = Layer(content, content.descriptor.digest, "")
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    image = build(config, [], [layer], ImageSettings({}, {}), created="1970-01-01T00:00:00Z", annotations={})
    with told_image(image, events.append).layers[0].content.open() as stream:
        stream.read(10)
    assert [event.status for event in events] == ["started", "failed"]
    assert events[0].step.startswith("write sha256:")
