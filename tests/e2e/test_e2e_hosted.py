"""A number of this server dials another one of it: no trunk, a session of its own, sound both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application
from tests.e2e.tracks import assert_partitioned, modules

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]

OTHER = "AC0dd0dd0dd0dd0dd0dd0dd0dd0dd0dd0d"
SECOND = "+15550177"


def two_owners(documents: Documents) -> dict[str, Any]:
    state = one_application(documents.url("/answer"))
    state["accounts"]["other"] = {
        "sid": OTHER,
        "token": "token-of-the-other-account-here",
        "funds": "postpaid",
        "parent": "tester",
        "billing_number": SECOND,
    }
    state["addresses"][SECOND] = {"account": "other", "target": documents.url("/second")}
    return state


async def test_a_number_of_another_account_is_reached_without_a_trunk(
    tmp_path: Path, documents: Documents
) -> None:
    documents.on("/answer", f'<Dial action="/over">{SECOND}</Dial>')
    documents.on("/second", "<Say>This is the second number, and it has a long sentence to say.</Say>")
    documents.on("/over", "<Hangup/>")
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    async with (
        Server(tmp_path / "server", two_owners(documents), fetch=allowed) as server,
        Baresip(tmp_path / "phone") as phone,
    ):
        await phone.dial(f"sip:+15550100@{server.sip}")
        asked = await documents.request("/second")
        over = await documents.request("/over")
        await phone.event("CALL_CLOSED")
        session = await server.last_session()
        root, leg = session["calls"]
        own = await server.session(asked.form["CallSid"])
    assert (asked.form["To"], asked.form["AccountSid"], asked.form["Direction"]) == (SECOND, OTHER, "inbound")
    assert asked.form["From"] == root["from"]
    assert asked.form["ForwardedFrom"] == asked.form["CalledVia"] == "+15550100"
    assert over.form["DialCallStatus"] == "completed"
    assert any(sound.to_ms - sound.from_ms > 1000 for sound in phone.heard())
    assert_partitioned(session)
    assert_partitioned(own)
    (second,) = own["calls"]
    assert (leg["linked_sid"], second["linked_sid"]) == (second["sid"], leg["sid"])
    assert (leg["key_number"], second["key_number"]) == ("+15550100", SECOND)
    assert modules(second)[-1] == ("other.self", "application")
