import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.http.template_parser import parse_template
from fnpack_host.http.templates import TemplateError


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("items/{id}", "/items/7", {"id": "7"}),
        ("items/{id}", "/Items/a b", {"id": "a b"}),
        ("items/{id}", "/items", None),
        ("items/{id}", "/items/", None),
        ("items/{id}", "/items/7/8", None),
        ("items/{id?}", "/items", {}),
        ("items/{id?}", "/items/", {}),
        ("items/{id?}", "/items/7/", {"id": "7"}),
        ("items/{id=5}", "/items", {"id": "5"}),
        ("items/{id:int=5}", "/items/6", {"id": "6"}),
        ("items/{id:int?}", "/items", {}),
        ("items/{id:int?}", "/items/x", None),
        ("{a?}/{b?}", "/1", {"a": "1"}),
        ("{a=x}/{b=y}", "/", {"a": "x", "b": "y"}),
        ("files/{*rest}", "/files/a/b.c", {"rest": "a/b.c"}),
        ("files/{*rest}", "/files/a/", {"rest": "a/"}),
        ("files/{**rest}", "/files/a//b", {"rest": "a//b"}),
        ("files/{*rest}", "/files", {}),
        ("files/{*rest}", "/files//x", None),
        ("files/{*rest=none}", "/files", {"rest": "none"}),
        ("files/{*rest:required}", "/files", None),
        ("file-{name}.{ext?}", "/file-a.b.txt", {"name": "a.b", "ext": "txt"}),
        ("file-{name}.{ext?}", "/FILE-a", {"name": "a"}),
        ("file-{name}.{ext?}", "/file-a.", None),
        ("file-{name}.{ext?}", "/file-.txt", {"name": ".txt"}),
        ("{a}-{b}", "/x--", {"a": "x", "b": "-"}),
        ("{a}-{b}", "/-x", None),
        ("{a}-{b}-{c}", "/1-2-3-4", {"a": "1-2", "b": "3", "c": "4"}),
        ("v{major}.{minor}", "/v1.2.3", {"major": "1.2", "minor": "3"}),
        ("{name}.json", "/a.JSON", {"name": "a"}),
        ("{{x}}/{y}", "/{x}/1", {"y": "1"}),
        (r"{d:regex(^\d{{3}}$)}", "/123", {"d": "123"}),
        (r"{d:regex(^\d{{3}}$)}", "/1234", None),
        ("{d:regex(^(a|b/c)$)}", "/A", {"d": "A"}),
        ("{d:regex(a:b=c)}", "/xa:b=cx", {"d": "xa:b=cx"}),
        ("{n:int:min(3):max(5)}", "/4", {"n": "4"}),
        ("{n:int:min(3):max(5)}", "/6", None),
        ("{:odd}", "/x", {":odd": "x"}),
        ("~/a", "/a", {}),
    ],
)
def test_template_gives_route_values(template, path, values):
    assert parse_template(template).match(path) == values


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{a}{b}", "no text between"),
        ("{a}/{A}", "stands twice"),
        ("{*a}/b", "must be last"),
        ("x{*a}", "stand alone"),
        ("{*a?}", "cannot be optional"),
        ("{a?=1}", "no usable parameter name"),
        ("{a=1?}", "cannot have a default"),
        ("{a?}-b", "after a dot"),
        ("x-{a?}", "after a dot"),
        ("a//b", "twice in a row"),
        ("//a", "twice in a row"),
        ("a//", "twice in a row"),
        ("{}", "no usable parameter name"),
        ("{a/b}", "no usable parameter name"),
        ("{a", "not closed"),
        ("{a{b}", "not closed"),
        ("a}b", "closes nothing"),
        ("a?b", "holds a `?`"),
        ("~a", "must be followed"),
        ("{a:int(}", "closing parenthesis"),
        ("{a:max(x)}", "whole number"),
        ("{a:max}", "needs its arguments"),
        ("{a:length(3,1)}", "empty range"),
        ("{a:regex([)}", "regex"),
    ],
)
def test_bad_template_says_why(template, reason):
    with pytest.raises(TemplateError, match="route `.*") as caught:
        parse_template(template)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("constraint", "accepted", "refused"),
    [
        ("int", ["1", "-2147483648", "+7", " 7 "], ["2147483648", "1.0", "", "x", "\u0661"]),
        ("long", ["9223372036854775807"], ["9223372036854775808", "9" * 5000]),
        ("bool", ["true", "FALSE", " true "], ["1", "yes"]),
        (
            "datetime",
            ["2021-02-28", "2021-02-28T10:11:12Z", "12/31/2020 7:32pm", "12/31/2020"],
            ["2021-02-30", "x"],
        ),
        ("decimal", ["1", "-1.5", "1,000.5", "5-"], ["1e3", "NaN", "79228162514264337593543950336"]),
        ("double", ["1.5", "1e3", "-.5", "NaN"], ["x", "1.5.2", "0x1"]),
        ("float", ["1.5"], ["x"]),
        (
            "guid",
            ["CD2C1638-1638-72D5-1638-DEADBEEF1638", "{cd2c1638-1638-72d5-1638-deadbeef1638}", "a" * 32],
            ["a" * 31],
        ),
        ("alpha", ["Abc"], ["a1", "ä"]),
        ("length(3)", ["abc"], ["ab", "a😀b"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("minlength(2)", ["ab"], ["a"]),
        ("maxlength(2)", ["ab"], ["abc"]),
        ("min(3)", ["3", "999999999999"], ["2", "x"]),
        ("max(3)", ["-3"], ["4", "x"]),
        ("range(1,9)", ["1", "9"], ["0", "10", "x"]),
        ("regex(^a+$)", ["aaa", "AA"], ["ab"]),
        ("required", ["x"], []),
        ("file", ["a.txt", ".gitignore"], ["a", "a."]),
        ("nonfile", ["a", "a."], ["a.txt"]),
    ],
)
def test_constraint(constraint, accepted, refused):
    template = parse_template(f"{{*x:{constraint}}}")
    assert [text for text in accepted if template.match(f"/{text}") is None] == []
    assert [text for text in refused if template.match(f"/{text}") is not None] == []


names = st.from_regex(r"\A[a-z]{1,5}\Z")
texts = st.text(st.characters(exclude_characters="/-", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.dictionaries(names, texts, min_size=1, max_size=4))
def test_values_put_into_a_template_come_back(values):
    template = parse_template("/".join(f"x-{{{name}}}" for name in values))
    assert template.match("/" + "/".join(f"x-{text}" for text in values.values())) == values


@given(st.lists(texts, min_size=2, max_size=5))
def test_segment_of_parameters_joined_by_a_literal_is_split_at_it(parts):
    template = parse_template("-".join(f"{{p{number}}}" for number in range(len(parts))))
    assert template.match("/" + "-".join(parts)) == {f"p{number}": part for number, part in enumerate(parts)}


def test_hostile_segment_costs_its_length_only():
    template = parse_template("-".join(f"{{p{number}}}" for number in range(12)) + "!")
    assert template.match("/" + "-" * 60_000) is None
