"""SIP over TLS on real sockets: who is believed, who is shown what, and which connection is taken."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from callrouter.errors import StartupError
from callrouter.ports import Answered, Ended, Failed, OutgoingCall
from callrouter.sip.settings import Listen, Settings
from callrouter.sip.tls_settings import Certificate, Tls
from tests.e2e.addresses import free_port
from tests.integration.sip_authority import Authority, listens
from tests.integration.sip_peer import MEDIA, Peer, peer
from tests.patience import PATIENCE_SECONDS

OPTIONS = (
    b"OPTIONS sip:callrouter SIP/2.0\r\nVia: SIP/2.0/TLS %b;branch=z9hG4bK%d;rport%b\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:callrouter>\r\nCall-ID: %d@test\r\n"
    b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


def options(number: int = 1, sent_by: bytes = b"client.example", alias: bytes = b"") -> bytes:
    return OPTIONS % (sent_by, number, alias, number)


def order(target: str) -> OutgoingCall:
    return OutgoingCall(target, "+15550100", "", MEDIA)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def connected(
    ours: Peer, context: ssl.SSLContext, name: str, index: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", ours.port(index), ssl=context, server_hostname=name
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def response(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await reader.readuntil(b"\r\n\r\n")


async def answered(ours: Peer, context: ssl.SSLContext) -> bytes:
    """What OPTIONS brought over a connection of its own; b"" when that was refused."""
    try:
        async with connected(ours, context, "localhost") as (reader, writer):
            writer.write(options())
            return await response(reader)
    except (OSError, EOFError):  # TLS 1.3 tells a client that it was refused when it reads
        return b""


def shown(writer: asyncio.StreamWriter) -> tuple[tuple[str, str], ...]:
    names: tuple[tuple[str, str], ...] = writer.get_extra_info("ssl_object").getpeercert()["subjectAltName"]
    return names


@pytest.mark.parametrize("scheme", ["sip:bob@localhost:{};transport=tls", "sips:bob@localhost:{}"])
async def test_a_call_over_tls_is_placed_answered_and_ended_by_the_callee(
    authority: Authority, scheme: str
) -> None:
    """Both ways over the one connection: the BYE comes back by the one the INVITE came by."""
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    async with peer(listen=listens("tls"), tls=tls) as ours, peer(listen=listens("tls"), tls=tls) as theirs:
        ours.signalling.place(order(scheme.format(theirs.port())), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered) or ours.told(Failed)))
        assert ours.told(Answered)
        incoming = theirs.legs[0]
        assert incoming.transport == "tls"
        is_sips = scheme.startswith("sips:")
        for leg_side in (ours, theirs):
            for one in leg_side.signalling.trace(incoming.call_id)[0]:
                if "\r\nContact: " in one.text:
                    assert ("\r\nContact: <sips:" in one.text) is is_sips
        incoming.hangup()
        await ours.wait(lambda: bool(ours.told(Ended)))
        assert theirs.metrics.gauges["sip_connections", "transport=tls"] == 1


async def test_a_server_with_another_name_is_not_called(authority: Authority) -> None:
    tls = authority.tls(authority.issue("server.pem", "elsewhere.example"))
    async with peer(listen=listens("tls"), tls=tls) as ours, peer(listen=listens("tls"), tls=tls) as theirs:
        ours.signalling.place(order(f"sips:bob@localhost:{theirs.port()}"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Failed)))
        assert ours.told(Failed)[0].status == 503
        assert not theirs.legs


async def test_a_server_of_an_authority_nobody_trusts_is_not_called(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other")
    good = authority.tls(authority.issue("server.pem", "localhost"))
    bad = stranger.tls(stranger.issue("server.pem", "localhost"))
    async with peer(listen=listens("tls"), tls=good) as ours, peer(listen=listens("tls"), tls=bad) as theirs:
        ours.signalling.place(order(f"sips:bob@localhost:{theirs.port()}"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Failed)))
        await theirs.wait_for_count("sip_connections_refused", "reason=handshake", "transport=tls")


async def test_verification_can_be_switched_off(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other")
    careless = authority.tls(authority.issue("server.pem", "localhost"), verify_servers=False)
    theirs_tls = stranger.tls(stranger.issue("server.pem", "elsewhere.example"))
    async with (
        peer(listen=listens("tls"), tls=careless) as ours,
        peer(listen=listens("tls"), tls=theirs_tls) as theirs,
    ):
        ours.signalling.place(order(f"sips:bob@localhost:{theirs.port()}"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))


async def test_the_certificate_is_chosen_by_the_name_asked_for(authority: Authority) -> None:
    tls = authority.tls(
        authority.issue("first.pem", "first.example", "localhost"),
        authority.issue("second.pem", "second.example", "*.wild.example"),
    )
    async with peer(listen=listens("tls"), tls=tls) as ours:
        for name, expected in [
            ("first.example", "first.example"),
            ("SECOND.example", "second.example"),
            ("any.wild.example", "second.example"),
        ]:
            async with connected(ours, authority.client(), name) as (reader, writer):
                assert shown(writer)[0] == ("DNS", expected)
                writer.write(options())
                assert (await response(reader)).startswith(b"SIP/2.0 200")
        with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'third\.example'"):
            async with connected(ours, authority.client(), "third.example"):
                pass


@pytest.mark.parametrize("how", ["signal", "file"])
async def test_a_new_certificate_reaches_new_connections_and_leaves_open_ones(
    authority: Authority, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callrouter.sip.certificates._CHECK_EVERY_NS", 0)
    tls = authority.tls(authority.issue("server.pem", "localhost", "before.example"))
    async with (
        peer(listen=listens("tls"), tls=tls) as ours,
        connected(ours, authority.client(), "localhost") as (reader, writer),
    ):
        authority.issue("server.pem", "localhost", "after.example")
        if how == "signal":
            ours.signalling.reload()
        async with connected(ours, authority.client(), "localhost") as (_, later):
            assert ("DNS", "after.example") in shown(later)
        writer.write(options())
        assert (await response(reader)).startswith(b"SIP/2.0 200")


async def test_a_certificate_that_cannot_be_read_leaves_the_old_one_in_use(authority: Authority) -> None:
    certificate = authority.issue("server.pem", "localhost")
    async with peer(listen=listens("tls"), tls=authority.tls(certificate)) as ours:
        certificate.certificate.write_text("garbage")
        ours.signalling.reload()
        async with connected(ours, authority.client(), "localhost") as (_, writer):
            assert shown(writer) == (("DNS", "localhost"),)


@pytest.mark.parametrize(
    ("mode", "shows", "served"),
    [
        ("none", False, True),
        ("optional", False, True),
        ("optional", True, True),
        ("required", False, False),
        ("required", True, True),
    ],
)
async def test_client_certificates_are_asked_for_as_the_listener_says(
    authority: Authority, mode: str, shows: bool, served: bool
) -> None:
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    own = authority.issue("client.pem", "client.example") if shows else None
    listen = listens("tls", client_certificates=mode)
    async with peer(listen=listen, tls=tls) as ours:
        answer = await answered(ours, authority.client(own))
        assert answer.startswith(b"SIP/2.0 200") is served


async def test_a_client_certificate_of_a_stranger_is_refused_even_where_none_is_required(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other", common_name="Stranger")
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    own = stranger.issue("client.pem", "client.example")
    async with peer(listen=listens("tls", client_certificates="optional"), tls=tls) as ours:
        assert await answered(ours, authority.client(own)) == b""
        await ours.wait_for_count("sip_connections_refused", "reason=handshake", "transport=tls")


@pytest.mark.parametrize(("alias", "comes_back"), [(b";alias", True), (b"", False)])
async def test_requests_come_back_by_a_connection_whose_owner_proved_a_name_and_asked_for_it(
    authority: Authority, alias: bytes, comes_back: bool
) -> None:
    """RFC 5923: nothing listens on the port that the client's Via names."""
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    own = authority.issue("client.pem", "localhost")
    listen = listens("tls", client_certificates="optional")
    async with (
        peer(listen=listen, tls=tls) as ours,
        connected(ours, authority.client(own), "localhost") as (reader, writer),
    ):
        port = free_port()
        writer.write(options(sent_by=b"localhost:%d" % port, alias=alias))
        assert (await response(reader)).startswith(b"SIP/2.0 200")
        ours.signalling.place(order(f"sip:bob@localhost:{port};transport=tls"), ours.sink)
        if comes_back:
            assert (await response(reader)).startswith(b"INVITE sip:bob@localhost:%d;transport=tls" % port)
        else:
            await ours.wait(lambda: bool(ours.told(Failed)))


async def test_an_alias_gives_nobody_another_name(authority: Authority) -> None:
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    own = authority.issue("client.pem", "mallory.example")
    async with (
        peer(listen=listens("tls", client_certificates="optional"), tls=tls) as ours,
        connected(ours, authority.client(own), "localhost") as (reader, writer),
    ):
        port = free_port()
        writer.write(options(sent_by=b"localhost:%d" % port, alias=b";alias"))
        assert (await response(reader)).startswith(b"SIP/2.0 200")
        ours.signalling.place(order(f"sip:bob@localhost:{port};transport=tls"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Failed)))


async def test_an_old_version_of_tls_is_refused(authority: Authority) -> None:
    tls = authority.tls(authority.issue("server.pem", "localhost"), minimum_version="1.3")
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with peer(listen=listens("tls"), tls=tls) as ours:
        with pytest.raises(OSError):  # noqa: PT011 - an alert or a reset, as the loop has it
            async with connected(ours, context, "localhost"):
                pass
        await ours.wait_for_count("sip_connections_refused", "reason=handshake", "transport=tls")


async def test_a_handshake_that_is_never_made_counts(authority: Authority) -> None:
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    async with peer(listen=listens("tls"), tls=tls, max_connections_per_address=1) as ours:
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port())
        assert await answered(ours, authority.client()) == b""
        refused = ("sip_connections_refused", "reason=too_many_from_address", "transport=tls")
        assert ours.metrics.counts[refused] == 1
        writer.close()


async def test_a_handshake_that_is_never_made_ends(authority: Authority) -> None:
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    limits: dict[str, Any] = {"head_timeout_seconds": 0.3, "max_connections_per_address": 1}
    async with peer(listen=listens("tls"), tls=tls, **limits) as ours:
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port())
        await ours.wait_for_count("sip_connections_refused", "reason=handshake", "transport=tls")
        async with connected(ours, authority.client(), "localhost") as (reader, client):
            client.write(options())
            assert (await response(reader)).startswith(b"SIP/2.0 200")
        writer.close()


def test_a_tls_listener_needs_a_certificate() -> None:
    with pytest.raises(ValidationError, match=r"tls 127\.0\.0\.1:5061 needs a certificate"):
        Settings(listen=(Listen(transport="tls", port=5061),))


@pytest.mark.parametrize("content", [None, "garbage"])
async def test_a_file_that_cannot_be_used_is_named_at_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "server.pem"
    if content is not None:
        file.write_text(content)
    tls = Tls(certificates=(Certificate(certificate=file, key=file),))
    with pytest.raises(StartupError, match=r"server\.pem cannot be used for TLS .*sip\.tls\.certificates"):
        async with peer(listen=listens("tls"), tls=tls):
            pass


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL's command is not installed")
async def test_openssl_sees_a_verified_chain_and_the_options_answered(
    authority: Authority, tmp_path: Path
) -> None:
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    async with peer(listen=listens("tls"), tls=tls) as ours:
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{ours.port()}", "-servername", "localhost"),
            *(
                "-CAfile",
                str(authority.file),
                "-verify_return_error",
                "-verify_hostname",
                "localhost",
                "-brief",
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(options())
        text = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"SIP/2.0 200 OK" not in text:
                text += await process.stdout.read(4096)
        assert b"Verification: OK" in text
        process.stdin.close()
        await process.wait()
