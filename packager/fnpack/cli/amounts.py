"""Amounts as people read them."""

from __future__ import annotations


def size_text(size_bytes: int) -> str:
    """`645 B`, `61.2 MB`."""
    amount, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
