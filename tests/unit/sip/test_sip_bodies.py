"""Descriptions beside other things in one body."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol.bodies import Part, Unsupported, description_in

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\n"
SIGNALLING = b"Content-Type: application/isup; version=itu-t92+\r\nContent-Disposition: signal; handling="


def parts(*bodies: bytes, boundary: str = "b1") -> bytes:
    line = b"--" + boundary.encode()
    return b"".join(line + b"\r\n" + body + b"\r\n" for body in bodies) + line + b"--\r\n"


def mixed(content: bytes, more: str = "; boundary=b1", **fields: str) -> Part:
    return Part(content, f"multipart/mixed{more}", **fields)


NESTED = b"Content-Type: multipart/alternative; boundary=b2\r\n\r\n"
DESCRIPTION = b"Content-Type: application/sdp\r\n\r\n" + SDP


@pytest.mark.parametrize(
    "body",
    [
        Part(SDP, "application/sdp"),
        Part(SDP, "Application/SDP ; charset=utf-8"),
        Part(SDP),
        mixed(parts(DESCRIPTION)),
        mixed(parts(SIGNALLING + b"optional\r\n\r\n\x01\x00\r\n\xff", DESCRIPTION)),
        mixed(parts(DESCRIPTION, b"Content-Type: application/pidf+xml\r\n\r\n<presence/>")),
        mixed(b"for old readers\r\n" + parts(DESCRIPTION) + b"behind it\r\n"),
        mixed(parts(DESCRIPTION, boundary="a b/c"), '; boundary="a b/c"'),
        mixed(b"--b1\r\n" + DESCRIPTION),
        mixed(parts(b"c: application/sdp\r\nContent-Transfer-Encoding: binary\r\n\r\n" + SDP)),
        mixed(parts(b"Content-Type:\r\n application/sdp\r\n\r\n" + SDP)),
        mixed(parts(NESTED + parts(DESCRIPTION, boundary="b2"))),
        Part(parts(b"\r\nplain words", DESCRIPTION), "multipart/related; boundary=b1"),
    ],
)
def test_the_description_is_found(body: Part) -> None:
    assert description_in(body).rstrip() == SDP.rstrip()


@pytest.mark.parametrize(
    "body",
    [
        Part(b""),
        Part(b"words", "text/plain", "render; handling=optional"),
        mixed(parts(SIGNALLING + b"optional\r\n\r\n\x01")),
    ],
)
def test_what_may_be_left_alone_is(body: Part) -> None:
    assert description_in(body) == b""


@pytest.mark.parametrize(
    "body",
    [
        Part(b"words", "text/plain"),
        Part(b"words", "text/plain", "render; handling=required"),
        Part(SDP, "application/sdp", encoding="gzip"),
        Part(SDP, encoding="gzip"),
        mixed(parts(b"Content-Type: text/plain\r\n\r\nwords")),
        mixed(parts(DESCRIPTION, SIGNALLING + b"required\r\n\r\n\x01")),
        mixed(parts(b"Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w")),
    ],
)
def test_what_has_to_be_understood_and_is_not_is_unsupported(body: Part) -> None:
    with pytest.raises(Unsupported):
        description_in(body)


@pytest.mark.parametrize(
    "body",
    [
        mixed(parts(DESCRIPTION), ""),
        mixed(parts(DESCRIPTION), "; boundary="),
        mixed(parts(DESCRIPTION), f"; boundary={'b' * 71}"),
        mixed(parts(DESCRIPTION), "; boundary=b2"),
        mixed(b"--b1--\r\n"),
    ],
)
def test_parts_that_cannot_be_told_apart_are_an_error(body: Part) -> None:
    with pytest.raises(ValueError, match=r"parts|boundary") as error:
        description_in(body)
    assert not isinstance(error.value, Unsupported)


def test_bodies_within_bodies_come_to_an_end() -> None:
    content = DESCRIPTION
    for level in range(300):
        kind = f"Content-Type: multipart/mixed; boundary=n{level}\r\n\r\n".encode()
        content = kind + parts(content, boundary=f"n{level}")
    with pytest.raises(Unsupported):
        description_in(mixed(parts(content)))


def test_no_more_parts_are_read_than_anybody_sends() -> None:
    content = parts(*[b"\r\nwords"] * 5000, DESCRIPTION)
    with pytest.raises(Unsupported):
        description_in(mixed(content))
