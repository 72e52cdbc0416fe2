"""What users of baresip do on a call, told once for every kind of telephone it can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.baresip import Baresip
from tests.e2e.documents import Documents
from tests.e2e.server import Server

HEARD_MS = 1500


async def press_at_the_menu(server: Server, documents: Documents, phone: Baresip) -> str:
    """Call a menu, hear it, press 7, hear the answer to the end; the keys the menu was told of."""
    documents.on(
        "/answer", '<Gather numDigits="1" action="/key" timeout="15"><Say>Press a key.</Say></Gather>'
    )
    documents.on("/key", "<Say>Thank you, that was your choice.</Say>")
    await phone.dial(f"sip:+15550100@{server.sip}")
    await phone.event("CALL_ESTABLISHED")
    await asyncio.sleep(2.5)
    await phone.press("7")
    asked = await documents.request("/key")
    await phone.event("CALL_CLOSED")
    return asked.form["Digits"]


async def ring_through_a_dial(server: Server, documents: Documents, caller: Baresip, callee: Baresip) -> None:
    """`caller` calls a number whose document dials `callee`, which rings when this returns; what comes
    after the Dial is asked of /over, and hangs up."""
    documents.on("/answer", f'<Dial timeout="60" action="/over"><Sip>{callee.uri}</Sip></Dial>')
    documents.on("/over", "<Hangup/>")
    await caller.dial(f"sip:+15550100@{server.sip}")
    await callee.event("CALL_INCOMING")


@asynccontextmanager
async def talking(
    server: Server, documents: Documents, caller: Baresip, callee: Baresip
) -> AsyncIterator[None]:
    """Two telephones talk for a while, then do what stands inside; the callee hangs up."""
    await ring_through_a_dial(server, documents, caller, callee)
    await callee.command("accept")
    await callee.event("CALL_ESTABLISHED")
    await asyncio.sleep(2.5)
    yield
    await callee.command("hangup")
    await documents.request("/over")
    await caller.event("CALL_CLOSED")


def assert_heard(*phones: Baresip) -> None:
    """Each of them heard the other end; their calls are over."""
    for phone in phones:
        heard = sum(sound.to_ms - sound.from_ms for sound in phone.heard())
        assert heard > HEARD_MS, (phone.uri, phone.heard())
