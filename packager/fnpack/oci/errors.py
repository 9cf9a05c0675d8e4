"""What can go wrong while an image is made without a daemon."""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError


class WheelInvalid(FnpackError):  # noqa: N818 - says what it is
    """A wheel breaks the rules of wheels or zip files, or would write outside its folder; the text names the member."""

    code = "FN440"
    hint = "get the wheel again, or another version of the package; if it is your own, build it with a current tool"


class WheelsClash(FnpackError):  # noqa: N818 - says what happened
    """Packages cannot be installed side by side: what is a file in one is a folder in the other."""

    code = "FN441"


class FileRefused(FnpackError):  # noqa: N818 - says what happened
    """A file cannot be part of an image: a device, a socket, a link out of its folder, an impossible name."""

    code = "FN442"


class FileChanged(FnpackError):  # noqa: N818 - says what happened
    """A file was written to, or went away, while the image was made."""

    code = "FN443"
    hint = "leave the file alone until the build is done, and build again"


class LayerUnwritable(FnpackError):  # noqa: N818 - says what happened
    """A layer cannot be written on this machine: no space, or no folder that can be written."""

    code = "FN444"


class BaseInvalid(FnpackError):  # noqa: N818 - says what it is
    """A base image in a file, a folder or the Engine cannot be read, or is not what it says."""

    code = "FN445"


class PlanInvalid(FnpackError):  # noqa: N818 - says what it is
    """The parts of an image do not fit together: too many layers, or one path given twice."""

    code = "FN446"


class OutputUnwritable(FnpackError):  # noqa: N818 - says what happened
    """The image cannot be written where it should go; nothing of what was there was changed."""

    code = "FN447"


class EngineRefused(FnpackError):  # noqa: N818 - says what happened
    """The Docker Engine did not take the image; the text quotes it."""

    code = "FN448"


class LayerLost(FnpackError):  # noqa: N818 - says what happened
    """The bytes of a layer are not to be had any more, or are not those that the image names."""

    code = "FN449"


class CompileFailed(FnpackError):  # noqa: N818 - says what happened
    """The Python that compiles modules for the image broke off; the text quotes it."""

    code = "FN450"
