"""A telephone that registers with the running server, calls a number, and is the <Client> of another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application
from tests.e2e.tracks import assert_partitioned

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]

USERS = [{"name": name, "password": f"{name}-secret"} for name in ("alice", "bob")]


def phone(folder: Path, server: Server, user: str) -> Baresip:
    account = (
        f"<sip:{user}@{server.sip}>;auth_pass={user}-secret;regint=120;answermode=manual;audio_codecs=pcmu\n"
    )
    return Baresip(folder / user, user=user, account=account)


async def test_one_registered_telephone_calls_another(tmp_path: Path, documents: Documents) -> None:
    documents.on("/answer", '<Dial timeout="60" action="/over"><Client>bob</Client></Dial>')
    documents.on("/over", "<Hangup/>")
    state = one_application(documents.url("/answer"))
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    registrar = {"registrar": {"users": USERS}, "peers": []}
    async with (
        Server(tmp_path / "server", state, fetch=allowed, sip=registrar) as server,
        phone(tmp_path, server, "alice") as alice,
        phone(tmp_path, server, "bob") as bob,
    ):
        await alice.registered()
        await bob.registered()
        await alice.dial(f"sip:+15550100@{server.sip}")
        asked = await documents.request("/answer")
        assert asked.form["From"] == "sip:alice@127.0.0.1"
        await bob.event("CALL_INCOMING")
        await bob.command("accept")
        await bob.event("CALL_ESTABLISHED")
        await asyncio.sleep(1.5)
        await bob.command("hangup")
        over = await documents.request("/over")
        assert over.form["DialCallStatus"] == "completed"
        await alice.event("CALL_CLOSED")
        assert_partitioned(await server.last_session())
