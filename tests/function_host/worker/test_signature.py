"""Which annotations load with which bindings, by the library's own word."""

from __future__ import annotations

import typing
from typing import Optional

import azure.functions as func
import pytest

from fnpack_host.worker.library import GENERIC, Library
from fnpack_host.worker.signature import RETURN, BindingFacts, SignatureError, read_signature

REQUEST = BindingFacts("req", "httptrigger", "in")


@pytest.fixture(scope="module")
def library():
    return Library()


def function_with(name, annotation, returned=None):
    """A function with the parameter `name`, annotated (None: not)."""
    scope = {}
    exec(f"def main({name}): pass", scope)
    main = scope["main"]
    main.__annotations__ = {name: annotation} if annotation is not None else {}
    if returned is not None:
        main.__annotations__["return"] = returned
    return main


@pytest.mark.parametrize(
    ("kind", "direction", "annotation"),
    [
        ("queuetrigger", "in", func.QueueMessage),
        ("queuetrigger", "in", str),
        ("queuetrigger", "in", None),
        ("timertrigger", "in", func.TimerRequest),
        ("blobtrigger", "in", func.InputStream),
        ("blobtrigger", "in", bytes),
        ("blob", "in", str),
        ("blob", "out", func.Out[bytes]),
        ("blob", "out", func.Out[func.InputStream]),
        ("queue", "out", func.Out[func.QueueMessage]),
        ("queue", "out", func.Out[typing.List[str]]),  # noqa: UP006 - as users write it
        ("http", "out", func.Out[bytes]),  # as it is, without the HTTP converter
        ("servicebustrigger", "in", func.ServiceBusMessage),
        ("servicebus", "out", func.Out[str]),
        ("http", "out", func.Out[func.HttpResponse]),
        ("table", "out", func.Out[str]),
        ("table", "out", None),
    ],
)
def test_annotation_fits(library, kind, direction, annotation):
    binding = BindingFacts("value", kind, direction)
    signature = read_signature(function_with("value", annotation), [binding], library)
    assert set({**signature.inputs, **signature.outputs}) == {"value"}


@pytest.mark.parametrize(
    ("kind", "direction", "annotation", "says"),
    [
        ("queuetrigger", "in", int, 'does not match its Python annotation "int"'),
        ("queuetrigger", "in", Optional[str], "non-type annotation"),  # noqa: UP045
        ("timertrigger", "in", func.HttpRequest, "does not match"),
        ("blob", "out", func.Out[int], "does not match"),
        ("blob", "in", func.Out[str], 'declared to have the "in" direction'),
        ("http", "out", func.Out[int], "does not match"),
        ("queue", "out", func.Out[typing.List[int]], "does not match"),  # noqa: UP006
        ("blob", "inout", str, '"inout" bindings are not supported'),
    ],
)
def test_annotation_does_not_fit(library, kind, direction, annotation, says):
    binding = BindingFacts("value", kind, direction)
    with pytest.raises(SignatureError, match=says):
        read_signature(function_with("value", annotation), [binding], library)


def test_str_and_bytes_take_the_value_as_it_is(library):
    binding = BindingFacts("value", "queuetrigger", "in")
    assert (
        read_signature(function_with("value", str), [binding], library).inputs["value"].converter is GENERIC
    )
    assert (
        read_signature(function_with("value", None), [binding], library).inputs["value"].converter
        is not GENERIC
    )


def test_a_value_may_be_returned_only_where_a_binding_takes_it(library):
    main = function_with("req", None)
    assert read_signature(main, [REQUEST], library).returns is None
    returned = BindingFacts(RETURN, "blob", "out")
    signature = read_signature(main, [REQUEST, returned], library)
    assert signature.returns is not None
    assert signature.http_output is None
    unknown = BindingFacts("req", "someTrigger".lower(), "in")  # the generic converter allows it
    assert read_signature(main, [unknown], library).returns is not None


@pytest.mark.parametrize("annotation", [str, func.HttpResponse])
def test_return_annotation_fits(library, annotation):
    returned = BindingFacts(RETURN, "http", "out")
    signature = read_signature(function_with("req", None, annotation), [REQUEST, returned], library)
    assert signature.http_output == RETURN
