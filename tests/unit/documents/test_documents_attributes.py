"""Typed attributes: good values, and for bad ones the default, a code and a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.errors import DocumentError

CODE = 13999


def reader(value: str | None) -> tuple[Attributes, list[Finding]]:
    findings: list[Finding] = []
    attributes = {} if value is None else {"a": value}
    return Attributes(Element("Verb", attributes, (), 7), findings), findings


def integer(read: Attributes) -> object:
    return read.integer("a", 5, code=CODE, least=1, most=60)


def boolean(read: Attributes) -> object:
    return read.boolean("a", True, code=CODE)


def choice(read: Attributes) -> object:
    return read.choice("a", "up", ("up", "down"), code=CODE)


def choices(read: Attributes) -> object:
    return read.choices("a", frozenset({"x"}), ("x", "y", "z-1"), code=CODE)


def method(read: Attributes) -> object:
    return read.method("a", code=CODE)


def characters(read: Attributes) -> object:
    return read.characters("a", "#", "0123456789*#", code=CODE, most=3)


def text(read: Attributes) -> object:
    return read.text("a", "none", longest=4, code=CODE)


def url(read: Attributes) -> object:
    return read.url("a", code=CODE)


@pytest.mark.parametrize(
    ("kind", "value", "expected", "codes"),
    [
        (integer, None, 5, []),
        (integer, "1", 1, []),
        (integer, " 60 ", 60, []),
        (integer, "0", 5, [CODE]),
        (integer, "61", 5, [CODE]),
        (integer, "-1", 5, [CODE]),
        (integer, "3.5", 5, [CODE]),
        (integer, "1e1", 5, [CODE]),
        (integer, "", 5, [CODE]),
        (integer, "٣", 5, [CODE]),
        (integer, "9" * 5000, 5, [CODE]),
        (boolean, None, True, []),
        (boolean, "false", False, []),
        (boolean, "True", True, []),
        (boolean, "0", True, [CODE]),
        (boolean, "", True, [CODE]),
        (choice, "down", "down", []),
        (choice, "Down", "up", [CODE]),
        (choice, "", "up", [CODE]),
        (choices, None, frozenset({"x"}), []),
        (choices, "x y", frozenset({"x", "y"}), []),
        (choices, "y", frozenset({"y"}), []),
        (choices, "['x', 'z-1']", frozenset({"x", "z-1"}), [12200]),
        (choices, "x,y", frozenset({"x", "y"}), [12200]),
        (choices, "y w", frozenset({"y"}), [CODE]),
        (choices, "w", frozenset({"x"}), [CODE]),
        (choices, "", frozenset({"x"}), []),
        (method, None, "POST", []),
        (method, "get", "GET", []),
        (method, "PUT", "POST", [CODE]),
        (characters, "*", "*", []),
        (characters, "", "", []),
        (characters, "x", "#", [CODE]),
        (characters, "1234", "#", [CODE]),
        (text, " abc ", "abc", []),
        (text, "abcde", "none", [CODE]),
        (url, None, None, []),
        (url, "", "", []),
        (url, " /a?b=c#ct=1 ", "/a?b=c#ct=1", []),
        (url, "/a b", "/a b", [CODE]),
    ],
)
def test_values(
    kind: Callable[[Attributes], Any], value: str | None, expected: object, codes: list[int]
) -> None:
    read, findings = reader(value)
    assert kind(read) == expected
    assert [(finding.line, finding.code) for finding in findings] == [(7, code) for code in codes]


@pytest.mark.parametrize(("value", "loops"), [(None, 1), ("3", 3), ("0", 1000), ("5000", 1000), ("x", 1)])
def test_loops_for_ever_end_at_a_thousand(value: str | None, loops: int) -> None:
    findings: list[Finding] = []
    attributes = {} if value is None else {"loop": value}
    assert Attributes(Element("Play", attributes, (), 1), findings).loop(13410) == loops
    assert bool(findings) is (value == "x")


def test_a_fatal_word_raises_with_code_and_line() -> None:
    read, _ = reader("nope")
    with pytest.raises(DocumentError) as caught:
        read.choices("a", frozenset(), ("x",), code=CODE, fatal=True)
    assert (caught.value.code, caught.value.line) == (CODE, 7)


def test_what_was_not_asked_for_is_unknown() -> None:
    read, findings = reader("1")
    read.finish()
    assert [(finding.code, finding.message) for finding in findings] == [
        (12200, "<Verb>: unknown attribute a, ignored")
    ]


def test_what_has_no_effect_is_said_aloud() -> None:
    read, findings = reader("1")
    read.unsupported("a", "b")
    read.finish()
    assert [finding.message for finding in findings] == ["<Verb>: a has no effect on this server"]


def test_children_that_may_not_be_nested_are_reported_with_their_line() -> None:
    findings: list[Finding] = []
    child = Element("Say", {}, (), 9)
    Attributes(Element("Pause", {}, (child,), 8), findings).finish()
    assert [(finding.line, finding.code) for finding in findings] == [(9, 12200)]


@given(st.text(max_size=30))
def test_no_value_raises(value: str) -> None:
    for kind in (integer, boolean, choice, choices, method, characters, text, url):
        read, _ = reader(value)
        kind(read)
