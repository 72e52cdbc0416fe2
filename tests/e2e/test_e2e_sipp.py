"""Calls from SIPp: software nobody here wrote, against the running server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from twilio.request_validator import RequestValidator

from tests.e2e.documents import Documents
from tests.e2e.server import ACCOUNT, TOKEN, Server
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.tracks import assert_partitioned, metered_ms, modules

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
KEY_SOUND = Path("/usr/share/sip-tester/dtmf_2833_1.pcap")
SELF = "tester.self"


def may_send_captures() -> bool:
    """SIPp sends what was captured by a raw socket, which is not everybody's to have."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except PermissionError:
        return False
    return True


async def test_a_call_hears_one_document_and_is_hung_up(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", "<Say>Hello and goodbye.</Say>")
    await Sipp("hears_out", server.sip, tmp_path / "sipp").run()
    session = await server.last_session()
    assert_partitioned(session)
    assert modules(session["calls"][0]) == [(SELF, "setup"), (SELF, "application")]
    assert session["calls"][0]["intervals"][-1]["end_cause"] == "hangup"
    done = await documents.request("/status")
    assert done.form["CallStatus"] == "completed"
    assert done.form["CallSid"] == session["sid"]


async def test_the_request_is_signed_and_says_who_calls(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", "<Hangup/>")
    await Sipp("hears_out", server.sip, tmp_path / "sipp").run()
    (asked,) = documents.requests("/answer")
    validator = RequestValidator(TOKEN)
    assert validator.validate(asked.url, asked.form, asked.headers["X-Twilio-Signature"])
    assert asked.form["From"] == "+15550199"
    assert asked.form["To"] == "+15550100"
    assert asked.form["AccountSid"] == ACCOUNT
    assert asked.form["Direction"] == "inbound"
    assert asked.form["ApiVersion"] == "2010-04-01"


async def test_a_caller_may_hang_up_in_the_middle_of_a_sentence(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Say loop="0">This never ends.</Say>')
    await Sipp("hangs_up", server.sip, tmp_path / "sipp", values={"talk_ms": 1500}).run()
    session = await server.last_session()
    assert_partitioned(session)
    talked = session["calls"][0]["intervals"][-1]
    assert talked["mode"] == "application"
    assert talked["duration_ms"] >= 1450


async def test_a_call_over_tcp_is_the_same_call(server: Server, documents: Documents, tmp_path: Path) -> None:
    documents.on("/answer", "<Say>Hello.</Say>")
    await Sipp("hears_out", server.sip, tmp_path / "sipp", transport="t1").run()
    assert_partitioned(await server.last_session())


async def test_an_invite_that_comes_four_times_is_one_call(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Pause length="1"/><Say loop="0">Hello.</Say>')
    await Sipp("repeats_invite", server.sip, tmp_path / "sipp", values={"talk_ms": 500}).run()
    assert len(documents.requests("/answer")) == 1
    assert len(await server.calls()) == 1
    assert_partitioned(await server.last_session())


async def test_a_lost_ack_is_survived(server: Server, documents: Documents, tmp_path: Path) -> None:
    documents.on("/answer", '<Say loop="0">Hello.</Say>')
    sipp = Sipp("loses_ack", server.sip, tmp_path / "sipp", values={"deaf_ms": 1800, "talk_ms": 500})
    await sipp.run()
    assert sipp.messages().count("SIP/2.0 200 OK") >= 3
    session = await server.last_session()
    assert_partitioned(session)
    assert metered_ms(session["calls"][0]) >= 2200


async def test_a_cancelled_call_was_never_answered(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Pause length="20"/><Say>Nobody hears this.</Say>')
    await Sipp("cancels", server.sip, tmp_path / "sipp", values={"patience_ms": 700, "two_hundred": ""}).run()
    session = await server.last_session()
    assert_partitioned(session)
    assert session["calls"][0]["status"] == "no-answer"
    assert {mode for _, mode in modules(session["calls"][0])} == {"setup"}


async def test_hold_and_resume_are_answered_as_the_offer_asks(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Say loop="0">Hello.</Say>')
    values = {"talk_ms": 400, "hold_ms": 700}
    await Sipp("holds", server.sip, tmp_path / "sipp", values=values).run()
    assert_partitioned(await server.last_session())


@pytest.mark.skipif(not KEY_SOUND.exists(), reason=f"there is no {KEY_SOUND}")
@pytest.mark.skipif(not may_send_captures(), reason="only root may have SIPp send what was captured")
async def test_a_key_sent_by_rfc_4733_reaches_the_gather(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Gather numDigits="1" action="/key" timeout="10"/>')
    documents.on("/key", "<Say>Thank you.</Say>")
    values = {"before_ms": 700, "pcap": str(KEY_SOUND)}
    await Sipp("presses", server.sip, tmp_path / "sipp", values=values).run()
    assert [asked.form["Digits"] for asked in documents.requests("/key")] == ["1"]


@pytest.mark.parametrize(("document", "status"), [("<Reject/>", 603), ('<Reject reason="busy"/>', 486)])
async def test_a_rejected_call_is_refused_and_never_answered(
    server: Server, documents: Documents, tmp_path: Path, document: str, status: int
) -> None:
    documents.on("/answer", document)
    await Sipp("refused", server.sip, tmp_path / "sipp", values={"status": status}).run()
    assert_partitioned(await server.last_session())


async def test_a_number_nobody_has_is_not_found(server: Server, tmp_path: Path) -> None:
    await Sipp("refused", server.sip, tmp_path / "sipp", number="+15559999", values={"status": 404}).run()


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("PUBLISH", 405), ("WHATEVER", 501)])
async def test_other_requests_are_told_what_is_allowed(
    server: Server, tmp_path: Path, method: str, status: int
) -> None:
    values = {"method": method, "status": status}
    await Sipp("asks", server.sip, tmp_path / "sipp", values=values).run()


async def test_a_hundred_calls_each_have_a_track_of_their_own(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", "<Say>Hello.</Say>")
    await Sipp("hears_out", server.sip, tmp_path / "sipp", calls=100, rate=25).run()
    calls = await server.calls()
    assert len({call["sid"] for call in calls}) == 100
    for call in calls:
        assert_partitioned(await server.session(call["sid"]))
