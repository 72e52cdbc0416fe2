"""Bytes in, a `Document` or a `DocumentError` with a TwiML error code out."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callrouter.documents.element import Document, Element
from callrouter.documents.parse import MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_VERBS, parse
from callrouter.errors import DocumentError


def refusal(body: bytes, charset: str = "") -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(body, charset)
    return caught.value


def code_of(body: bytes, charset: str = "") -> int:
    """0 for a document."""
    try:
        assert isinstance(parse(body, charset), Document)
    except DocumentError as error:
        return error.code
    return 0


def test_elements_keep_attributes_text_and_line() -> None:
    document = parse(b'<?xml version="1.0"?>\n<Response>\n  <Say voice="alice">\n Hi </Say>\n</Response>')
    assert document == Document((Element("Say", {"voice": "alice"}, ("\n Hi ",), 3),))
    assert document.elements[0].text == "Hi"


def test_mixed_content_stays_in_order() -> None:
    (dial,) = parse(b"<Response><Dial>1<Client>x</Client>2</Dial></Response>").elements
    assert dial.content == ("1", Element("Client", {}, ("x",), 1), "2")


def test_comments_processing_instructions_and_cdata_leave_only_text() -> None:
    (say,) = parse(b"<Response><Say>a<!-- x --><?php y?><![CDATA[<b>]]>&amp;c</Say></Response>").elements
    assert say.content == ("a<b>&c",)


def test_xml_lang_has_its_usual_name() -> None:
    (say,) = parse(b'<Response><Say xml:lang="fr-FR">x</Say></Response>').elements
    assert say.attributes == {"xml:lang": "fr-FR"}


def test_a_foreign_namespace_shows_in_the_name() -> None:
    (element,) = parse(b'<Response xmlns:a="urn:a"><a:Ask/></Response>').elements
    assert element.name == "{urn:a}Ask"


def test_text_outside_of_verbs_is_reported() -> None:
    document = parse(b"<Response>hello<Hangup/></Response>")
    assert [(finding.line, finding.code) for finding in document.warnings] == [(1, 12200)]


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        (b"", 11770, 0),
        (b" \r\n\t", 11770, 0),
        (b" " * (MAX_BYTES + 1), 11750, 0),
        (b"hello", 12100, 1),
        (b"<Response>\n<Say>hi</Response>", 12100, 2),
        (b"<Response><Say>hi", 12100, 1),
        (b"<Response>\n\x00</Response>", 12100, 2),
        (b"<Response>&#0;</Response>", 12100, 1),
        (b"<Response>\n\n\xff</Response>", 12100, 3),
        (b"<Response><Say>&nbsp;</Say></Response>", 12100, 1),
        (b"<Response><Say a='1' a='2'/></Response>", 12100, 1),
        (b"<Response/><Response/>", 12100, 1),
        (b"\n<?xml version='1.0'?><Response/>", 12100, 2),
        (b"<?xml version='2.0'?><Response/>", 12101, 1),
        (b"<response/>", 12102, 1),
        (b"\n<html/>", 12102, 2),
        (b"<Response xmlns='urn:x'/>", 12102, 1),
        (b"<!DOCTYPE html>\n<html/>", 12100, 1),
        (b"\n<!DOCTYPE Response SYSTEM 'http://evil.test/x'><Response/>", 12100, 2),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(body: bytes, code: int, line: int) -> None:
    error = refusal(body)
    assert (error.code, error.line) == (code, line)


def nested(depth: int) -> bytes:
    return b"<Response>" + b"<a>" * depth + b"</a>" * depth + b"</Response>"


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (nested(MAX_DEPTH - 1), nested(MAX_DEPTH)),
        (
            b"<Response>" + b"<Pause/>" * MAX_VERBS + b"</Response>",
            b"<Response>" + b"<Pause/>" * (MAX_VERBS + 1) + b"</Response>",
        ),
        (
            b"<Response><Say %s/></Response>" % b" ".join(b"a%d='1'" % n for n in range(MAX_ATTRIBUTES)),
            b"<Response><Say %s/></Response>" % b" ".join(b"a%d='1'" % n for n in range(MAX_ATTRIBUTES + 1)),
        ),
        (
            b"<Response><Say>" + b"<p/>" * 998 + b"</Say></Response>",
            b"<Response><Say>" + b"<p/>" * 999 + b"</Say></Response>",
        ),
        (b"<Response/>" + b" " * (MAX_BYTES - 11), b"<Response/>" + b" " * (MAX_BYTES - 10)),
    ],
    ids=["depth", "verbs", "attributes", "elements", "bytes"],
)
def test_limits_hold_exactly(within: bytes, beyond: bytes) -> None:
    parse(within)
    assert refusal(beyond).code in (12100, 11750)


BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;">]>
<Response><Say>&c;</Say></Response>"""

EXTERNAL = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Response><Say>&x;</Say></Response>'


@pytest.mark.parametrize(
    "body",
    [
        BILLION_LAUGHS,
        BILLION_LAUGHS.decode().encode("utf-16"),
        EXTERNAL,
        b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1/p">%p;]><Response/>',
        b'<Response><Say a="&x;"/></Response>',
        nested(9000),
        b"<Response><Say " + b" ".join(b"a%d='1'" % n for n in range(6000)) + b"/></Response>",
        b"<Response>" + b"<a/>" * 16000 + b"</Response>",
        b"<Response><Say>" + b"&lt;" * 16000 + b"</Say></Response>",
        b"<" * 60000,
        b"<Response><!--" + b"-" * 60000,
    ],
    ids=lambda body: f"{body[:24]!r}",
)
def test_bombs_are_defused_quickly(body: bytes) -> None:
    began = time.perf_counter()
    assert code_of(body) in (0, 12100, 12102)
    assert time.perf_counter() - began < 0.1


SAID = "<Response><Say>Zażółć €</Say></Response>"


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (SAID.encode(), ""),
        (SAID.encode("utf-8-sig"), ""),
        (SAID.encode(), "UTF-8"),
        (SAID.encode("utf-16"), ""),
        (SAID.encode("utf-16-le"), ""),
        (SAID.encode("utf-16-be"), "utf-16be"),
        (('<?xml version="1.0" encoding="UTF-16"?>' + SAID).encode("utf-16"), ""),
        (('<?xml version="1.0" encoding="utf-16"?>' + SAID).encode(), ""),
        (('<?xml version="1.0" encoding="iso-8859-1"?>' + SAID).encode(), "utf-8"),
    ],
)
def test_encodings_are_honoured(body: bytes, charset: str) -> None:
    """By mark, then Content-Type, then declaration (RFC 7303 §3)."""
    assert parse(body, charset).elements[0].text == "Zażółć €"


@pytest.mark.parametrize(("codec", "text"), [("iso-8859-1", "né"), ("windows-1252", "“né”")])
def test_western_encodings_are_read(codec: str, text: str) -> None:
    body = f'<?xml version="1.0" encoding="{codec}"?><Response><Say>{text}</Say></Response>'.encode(codec)
    assert parse(body).elements[0].text == text


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "rot13", "zlib", "no-such"])
def test_other_encodings_are_refused(charset: str) -> None:
    assert refusal(b"<Response/>", charset).code == 12100


@given(st.binary(max_size=400), st.sampled_from(["", "utf-8", "utf-16", "latin-1", "x"]))
@example(b"\xff\xfe", "")
@example(b"\xef\xbb\xbf", "")
@example(b"\xff\xfe\x00\xd8<\x00", "")
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_document_or_a_named_error(body: bytes, charset: str) -> None:
    assert code_of(body, charset) in (0, 11770, 12100, 12101, 12102)


MARKUP = st.lists(
    st.sampled_from(
        [
            "<Response>",
            "</Response>",
            "<Say>",
            "</Say>",
            "<a b='1'/>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "&lt;",
            "<?xml version='1.0'?>",
            "&#x41;",
            "&#xD800;",
            "x",
            "\n",
            "\ufffe",
            "\ud83d\ude00",
            "<?p?>",
            "<a:b/>",
        ]
    ),
    max_size=12,
).map("".join)


@given(MARKUP)
@settings(max_examples=300, deadline=None)
def test_any_markup_is_a_document_or_a_named_error(markup: str) -> None:
    assert code_of(markup.encode("utf-8", "surrogatepass")) in (0, 11770, 12100, 12101, 12102)
