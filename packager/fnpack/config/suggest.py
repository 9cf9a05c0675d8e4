"""Did-you-mean: the candidate nearest to what somebody typed. It owns no list of candidates."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def closest(word: str, candidates: Collection[str]) -> str | None:
    """The candidate most like `word`, or None. Case, `-`, `_` and spaces do not count as differences."""
    import difflib

    folded: dict[str, str] = {}
    for candidate in candidates:
        folded.setdefault(_fold(candidate), candidate)
    found = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=0.65)
    return folded[found[0]] if found else None


def did_you_mean(word: str, candidates: Collection[str]) -> str | None:
    """A suggestion for a mistyped key or file name: the nearest candidate, or None."""
    found = closest(word, candidates)
    return f"did you mean `{found}`?" if found is not None else None


def did_you_mean_or_list(word: str, candidates: Collection[str]) -> str:
    """A suggestion for a mistyped value: the nearest candidate, and all of them when none is near."""
    return did_you_mean(word, candidates) or "use " + one_of(candidates)


def one_of(candidates: Collection[str]) -> str:
    """`a`, `b` or `c`, for a sentence."""
    *rest, last = (f"`{candidate}`" for candidate in candidates)
    return f"{', '.join(rest)} or {last}" if rest else last


def names_near(path: Path, *, limit: int = 5) -> str | None:
    """What a person may have meant by a path that does not exist: like names, else names of the same ending."""
    folder = path.parent
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return _nearest_existing(folder)
    found = did_you_mean(path.name, names)
    if found:
        return found
    alike = [name for name in names if path.suffix and Path(name).suffix == path.suffix][:limit]
    return "the folder holds " + ", ".join(f"`{name}`" for name in alike) if alike else None


def _nearest_existing(folder: Path) -> str | None:
    return f"the folder `{folder}` does not exist" if not folder.is_dir() else None


def _fold(word: str) -> str:
    return word.casefold().replace("-", "").replace("_", "").replace(" ", "")
