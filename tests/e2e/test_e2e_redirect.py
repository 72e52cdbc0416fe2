"""A carrier (SIPp) that redirects a call to another of its servers, and to one that is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.addresses import free_port
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.tracks import assert_partitioned

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
CALLED = "+15550142"


async def test_the_best_server_of_the_carrier_gets_the_call(tmp_path: Path, documents: Documents) -> None:
    documents.on("/answer", f'<Dial timeLimit="1" action="/over">{CALLED}</Dial>')
    documents.on("/over", "<Hangup/>")
    first, better = free_port(), free_port()
    sip = {"trunks": [{"name": "carrier", "host": "127.0.0.1", "port": first}]}
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    state = one_application(documents.url("/answer"))
    async with Server(tmp_path / "server", state, fetch=allowed, sip=sip) as server:
        values: dict[str, str | int] = {"user": CALLED, "better": better, "worse": free_port()}
        redirecting = Sipp("redirects", server.sip, tmp_path / "first", values=values, port=first)
        taking = Sipp(
            "takes_lossy",
            server.sip,
            tmp_path / "better",
            values={"reached_at": better, "after_ms": 200},
            port=better,
        )
        answering = [(s, await s.start()) for s in (redirecting, taking)]
        await Sipp("hears_out", server.sip, tmp_path / "caller").run()
        for scenario, program in answering:
            await scenario.finish(program)
        over = await documents.request("/over")
        session = await server.last_session()
    assert (over.form["DialCallStatus"], over.form["DialSipResponseCode"]) == ("completed", "200")
    assert_partitioned(session)
    assert len(session["calls"]) == 2
