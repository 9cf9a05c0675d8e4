import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.app.function_app import Function
from fnpack_host.http.routes import Routes
from fnpack_triggers.base import Binding


def routes(prefix="api", **by_name):
    return Routes(
        [
            Function(name, None, (Binding("req", "httptrigger", "in", properties),))
            for name, properties in by_name.items()
        ],
        prefix,
    )


def name_of(match):
    return match and match.route.function.name


@pytest.mark.parametrize(
    ("properties", "path", "found"),
    [
        ({}, "/api/f", True),
        ({}, "/api/F/", True),
        ({}, "/api/f//", False),
        ({}, "//api/f", False),
        ({}, "/f", False),
        ({"route": "a.b"}, "/api/aXb", False),
        ({"route": "/a/b/"}, "/api/a/b", True),
    ],
)
def test_path_finds_function(properties, path, found):
    assert (routes(f=properties).find("GET", path) is not None) is found


def test_method_is_part_of_the_route():
    table = routes(read={"route": "x", "methods": ["get"]}, write={"route": "x", "methods": ["post"]})
    assert name_of(table.find("GET", "/api/x")) == "read"
    assert name_of(table.find("POST", "/api/x")) == "write"
    assert table.find("PUT", "/api/x") is None


def test_wrong_method_of_the_literal_route_falls_through_to_a_template():
    table = routes(a={"route": "x", "methods": ["get"]}, b={"route": "{any}"})
    assert name_of(table.find("POST", "/api/x")) == "b"


def test_empty_prefix_removes_it():
    table = routes(prefix="", f={}, root={"route": "{*path}"})
    assert name_of(table.find("GET", "/f")) == "f"
    assert name_of(table.find("GET", "/")) == "root"


def test_specific_routes_win_whatever_the_names():
    table = routes(
        a={"route": "items/{*rest}"},
        b={"route": "items/{*rest:alpha}"},
        c={"route": "items/{id}"},
        d={"route": "items/{id:int}"},
        e={"route": "items/recent"},
        f={"route": "items/{name}.{ext}"},
    )
    found = [
        name_of(table.find("GET", f"/api/items/{tail}"))
        for tail in ("recent", "7", "x", "x.y", "abc/def", "a/1")
    ]
    assert found == ["e", "d", "c", "f", "a", "a"]


def test_route_that_azure_would_shadow_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        routes(details={"route": "items/{id}"}, latest={"route": "items/latest"}, other={"route": "other"})
    assert [record.getMessage() for record in caplog.records] == [
        "POST /api/items/latest calls latest here, but details on Azure, where functions are asked in order of "
        "their names; rename one, or constrain the route `api/items/{id}`"
    ]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"route": "a/{b"}, "`a/{b`: a `{` is not closed"),
        ({"authlevel": "none"}, "authLevel is `none`"),
        ({"methods": "get"}, "methods must be a list"),
        ({"route": "admin/x"}, "which the host keeps"),
        ({"route": "Runtime/x"}, "which the host keeps"),
        ({"route": "{id:prime}"}, "no constraint"),
    ],
)
def test_unusable_route_is_an_error_of_its_function_alone(properties, reason):
    table = routes(bad=properties, good={})
    assert reason in table.errors["bad"]
    assert list(table.errors) == ["bad"]
    assert name_of(table.find("GET", "/api/good")) == "good"
    assert table.find("GET", "/api/bad") is None


def test_second_function_of_a_route_and_method_is_an_error():
    table = routes(
        one={"route": "x/{a}"}, three={"route": "X/{a}", "methods": ["get"]}, two={"route": "x/{b}"}
    )
    assert list(table.errors) == ["three"]
    assert "also that of function one" in table.errors["three"]


@given(
    st.lists(
        st.sampled_from(["a", "b", "{x}", "{y?}", "{z:int}", "{*r}", "f-{n}", "{n}.{e?}", "{d=1}"]),
        max_size=4,
    )
)
def test_any_template_is_read_or_is_an_error_of_its_function(segments):
    table = routes(f={"route": "/".join(segments) or "f"})
    assert ("f" in table.errors) != bool(table.all())


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_as_template_and_path_is_answered(template, path):
    table = routes(prefix="", f={"route": template})
    table.find("GET", "/" + path)
