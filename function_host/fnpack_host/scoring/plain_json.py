"""JSON of what Python, numpy and pandas hold, for readers who take JSON at its word: it has no NaN and no infinity."""

from __future__ import annotations

import json


def to_json(value: object) -> tuple[str, bool]:
    """`value` as JSON, and whether a NaN or infinity became null. Raises TypeError, ValueError or RecursionError."""
    try:
        return _encode(value), False
    except ValueError:
        text = _encode_nan(value)  # raises again for what is wrong otherwise
    return _encode(json.loads(text, parse_constant=lambda _: None)), True


def _plain(value: object) -> object:
    """Numpy arrays and scalars, pandas frames and series, dates: whatever knows its plain Python form."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        rows: object = value.to_dict(orient="records")
        return rows
    for name in ("tolist", "item", "isoformat"):
        method = getattr(value, name, None)
        if callable(method):
            plain: object = method()
            return plain
    raise TypeError(
        f"there is a {type(value).__name__} in it; return plain Python or numpy values, text, bytes or a response"
    )


# Made once: json.dumps looks at its arguments anew for every call.
_encode = json.JSONEncoder(default=_plain, allow_nan=False).encode
_encode_nan = json.JSONEncoder(default=_plain).encode
