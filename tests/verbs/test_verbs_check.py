"""`callrouter check`: every finding with file, line, level and code."""

from __future__ import annotations

from callrouter.verbs.check import check_document, describe


def findings(body: bytes) -> list[str]:
    return [describe("a.xml", finding) for finding in check_document(body)]


def test_a_sound_document_has_no_findings() -> None:
    assert findings(b"<Response><Say>hi</Say></Response>") == []


def test_findings_come_by_line_errors_among_warnings() -> None:
    body = b"""<Response>
  <say>hi</say>
  <Gather actionOnEmptyResult="x"/>
  <Dial timeout="1">+15551230000</Dial>
</Response>"""
    assert findings(body) == [
        "a.xml:2: warning 12200: <say> is unknown, skipped; names are case-sensitive: <Say>",
        "a.xml:3: error 13338: <Gather>: actionOnEmptyResult is 'x', neither true nor false",
        "a.xml:4: warning 13212: <Dial>: timeout is '1', not a whole number from 5 to 600; 30 is used",
    ]


def test_what_cannot_be_parsed_is_one_error() -> None:
    assert findings(b"<Response>\n<Say>") == [
        "a.xml:2: error 12100: Premature end of data in tag Say line 2 (column 6)"
    ]


def test_an_error_without_a_line_names_the_file() -> None:
    assert findings(b"") == [
        "a.xml: error 11770: the document is empty; an answer with nothing to do is <Response/>"
    ]
