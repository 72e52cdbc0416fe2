"""Answers by content type."""

from __future__ import annotations

import pytest

from callrouter.documents.content import read, split_content_type
from callrouter.documents.element import Element
from callrouter.errors import DocumentError

XML = b"<Response><Hangup/></Response>"
HANGUP = Element("Hangup", {}, (), 1)


@pytest.mark.parametrize(
    "content_type", ["text/xml", "application/xml", "text/html; charset=utf-8", "TEXT/XML ;charset=UTF-8"]
)
def test_xml_types_are_parsed(content_type: str) -> None:
    assert read(XML, content_type).elements == (HANGUP,)


def test_audio_is_played_then_the_call_ends() -> None:
    play, hangup = read(b"RIFF", "audio/wav", "http://app.test/a.wav").elements
    assert (play.name, play.text, hangup.name) == ("Play", "http://app.test/a.wav", "Hangup")


def test_plain_text_that_is_a_document_runs() -> None:
    assert read(XML, "text/plain").elements == (HANGUP,)


def test_plain_text_is_spoken_then_the_call_ends() -> None:
    say, hangup = read("Dzień dobry".encode("iso-8859-2"), "text/plain; charset=iso-8859-2").elements
    assert (say.name, say.text, hangup.name) == ("Say", "Dzień dobry", "Hangup")


@pytest.mark.parametrize(("body", "code"), [(b"", 11770), (b"x" * 70_000, 11750)])
def test_plain_text_has_the_limits_of_documents(body: bytes, code: int) -> None:
    with pytest.raises(DocumentError) as caught:
        read(body, "text/plain")
    assert caught.value.code == code


@pytest.mark.parametrize("content_type", ["application/json", "", "image/png", "video/mp4", ";"])
def test_anything_else_is_an_invalid_content_type(content_type: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(XML, content_type)
    assert caught.value.code == 12300


def test_an_unknown_charset_of_plain_text_is_read_as_utf8() -> None:
    assert read("né".encode(), "text/plain; charset=klingon").elements[0].text == "né"


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ('text/xml; charset="utf-8"', ("text/xml", "utf-8")),
        ("text/xml;q=1; Charset=UTF-16", ("text/xml", "UTF-16")),
        ("", ("", "")),
    ],
)
def test_content_type_headers_are_taken_apart(header: str, parts: tuple[str, str]) -> None:
    assert split_content_type(header) == parts
