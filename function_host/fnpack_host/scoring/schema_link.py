"""What `inference_schema` declares on a `run`: the real library where it is installed, else `schema` of this package.

The script imports one of the two by the same name; both are asked by the same functions.
"""

from __future__ import annotations

import sys
from types import CodeType
from typing import Protocol, cast

_MODULE = "inference_schema.schema_util"


class SchemaUtil(Protocol):
    """`inference_schema.schema_util`."""

    def is_schema_decorated(self, func: object) -> bool:
        """Whether the function has a schema."""

    def get_input_schema(self, func: object) -> dict[str, object]:
        """Of all parameters, as one object."""

    def get_output_schema(self, func: object) -> dict[str, object]:
        """Of the result."""

    def get_supported_versions(self, func: object) -> list[str]:
        """The versions of OpenAPI that can hold the schemas: 2.0, 3.0, 3.1."""


def util() -> SchemaUtil | None:
    """The module, where a script has imported it."""
    return cast("SchemaUtil | None", sys.modules.get(_MODULE))


def is_decorated(function: object) -> bool:
    """Whether a schema is declared on `function`."""
    found = util()
    return found is not None and found.is_schema_decorated(function)


def is_conversion_fault(error: BaseException, run: CodeType | None) -> bool:
    """Whether a decorator raised while it converted the input: its code is on the stack, that of `run` is not."""
    was_in_schema = False
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is run:
            return False
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        was_in_schema = was_in_schema or module.startswith(("inference_schema", f"{__package__}.schema"))
        trace = trace.tb_next
    return was_in_schema
