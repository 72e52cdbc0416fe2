"""What an operator sees of a real call, and certificates that are renewed under it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
from pathlib import Path

import pytest

from callrouter.caller.answering import Manner
from callrouter.caller.voice import write_hum
from tests.e2e.addresses import free_port
from tests.e2e.process import Program
from tests.e2e.server import ACCOUNT, COMMAND, TOKEN
from tests.e2e.stage import desk, open_stage
from tests.integration.sip_authority import Authority
from tests.patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.e2e]


async def test_tail_follows_a_bridged_call_to_its_end(tmp_path: Path) -> None:
    write_hum(tmp_path / "voice.wav", 500)
    manner = Manner(tmp_path / "voice.wav", ring_seconds=0.2, hang_up=False)
    async with open_stage(tmp_path) as stage, desk(tmp_path / "desk", manner) as agent:
        number = stage.number(f"<Dial><Sip>{agent.uri}</Sip></Dial>")
        async with stage.call(number) as phone:
            await until(lambda: stage.documents.asked)
            sid = stage.documents.asked[0].form["CallSid"]
            tail = await Program.start(
                "tail",
                [COMMAND, "tail", sid, "--server", stage.server.api],
                tmp_path / "tail.log",
                environment={"CALLROUTER_ACCOUNT": ACCOUNT, "CALLROUTER_TOKEN": TOKEN},
            )
            await until(lambda: any(taken.answered_ns for taken in agent.answering.taken))
            await asyncio.sleep(1.5)
            assert tail.running, tail.words()
            await phone.hangup()
        assert await tail.finish(PATIENCE_SECONDS) == 0
        lines = tail.log.read_text().splitlines()
        shown = [match[1] for line in lines if (match := re.search(r"[<-]-+ (.*?) -+[->]", line))]
        # A's INVITE, ours to B, what B says, what we say to A, and both goodbyes; more where the machine
        # was slow, and something had to be said again.
        for said in ("INVITE (SDP)", "200 OK (SDP)", "ACK", "BYE", "200 OK to BYE"):
            assert shown.count(said) >= 2, said
        assert any("* POST http://127.0.0.1" in line and ": 200, " in line for line in lines)
        assert sum("callrouter" in line for line in lines) == 2, "one heading for each party that joins"


async def test_certificates_are_renewed_on_a_signal_while_connections_stay(tmp_path: Path) -> None:
    """The paths in the configuration are relative to its folder."""
    authority = Authority(tmp_path / "server")
    authority.issue("own.pem", "localhost", "before.example")
    port = free_port()
    listen = [
        {"host": "127.0.0.1", "port": free_port(), "transport": "udp"},
        {"host": "127.0.0.1", "port": port, "transport": "tls"},
    ]
    tls = {"certificates": [{"certificate": "own.pem", "key": "own.pem"}]}
    async with open_stage(tmp_path, sip={"listen": listen, "tls": tls}) as stage:
        client = authority.client()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="localhost"
        )
        authority.issue("own.pem", "localhost", "after.example")
        assert stage.server.program is not None
        os.kill(stage.server.program.pid, signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while ("DNS", "after.example") not in await names(port, client):
                await asyncio.sleep(0.1)
        writer.write(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.readexactly(2) == b"\r\n"
        writer.close()
        figures = await stage.server.text("/metrics")
        assert 'callrouter_sip_connections{transport="tls"} ' in figures


async def names(port: int, client: ssl.SSLContext) -> tuple[tuple[str, str], ...]:
    """What the certificate shown now stands for."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    return tuple(certificate["subjectAltName"])
