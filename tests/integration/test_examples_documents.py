"""The example applications answer with documents that this server runs without a warning."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from twilio.request_validator import RequestValidator

from callrouter.verbs.program import compile_body

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = "a-token-of-this-test"
Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]


def load(path: str) -> ModuleType:
    file = EXAMPLES / path
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    clients: list[Client] = []

    async def start(app: web.Application) -> Client:
        client: Client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


async def ask(client: Client, path: str, form: Mapping[str, str] | None = None) -> str:
    """POST and check that what comes back is a document free of warnings."""
    response = await client.post(path, data=dict(form or {}))
    assert response.status == 200, path
    assert response.content_type == "text/xml"
    body = await response.read()
    program = compile_body(body, response.headers["Content-Type"])
    assert not program.warnings, program.warnings
    return body.decode()


async def test_acme_leaves_by_an_outlet_or_takes_a_message(serve: Serve) -> None:
    client = await serve(load("demo/acme.py").application())
    assert 'action="choice"' in await ask(client, "/menu/")
    assert "outlet:agent" in await ask(client, "/menu/choice", {"Digits": "1"})
    assert "<Record" in await ask(client, "/menu/choice", {"Digits": "2"})
    assert "<Redirect>./</Redirect>" in await ask(client, "/menu/choice", {"Digits": "7"})
    assert "<Hangup" in await ask(client, "/menu/thanks")


async def test_beta_asks_for_a_score_then_a_comment(serve: Serve) -> None:
    client = await serve(load("demo/beta.py").application())
    assert 'action="score"' in await ask(client, "/survey/")
    assert "<Record" in await ask(client, "/survey/score", {"Digits": "5"})
    assert "<Redirect>./</Redirect>" in await ask(client, "/survey/score", {"Digits": "0"})
    assert "<Hangup" in await ask(client, "/survey/thanks", {"RecordingUrl": "http://x/RE1"})


async def test_the_machine_asks_for_a_message_only_when_nobody_talked(serve: Serve) -> None:
    client = await serve(load("voicemail/voicemail.py").application("sip:100@127.0.0.1:5090"))
    assert "<Sip>sip:100@127.0.0.1:5090</Sip>" in await ask(client, "/voicemail/")
    assert "<Record" in await ask(client, "/voicemail/dialled", {"DialCallStatus": "no-answer"})
    assert "<Record" not in await ask(client, "/voicemail/dialled", {"DialCallStatus": "completed"})
    assert "saved" in await ask(client, "/voicemail/saved", {"Digits": "#"})
    assert "<Say>" not in await ask(client, "/voicemail/saved", {"Digits": "hangup"})
    response = await client.post("/voicemail/recorded", data={"RecordingUrl": "http://x/RE1"})
    assert response.status == 204


async def test_screening_joins_only_on_1(serve: Serve) -> None:
    client = await serve(load("screening/screening.py").application("sip:100@127.0.0.1:5090"))
    assert 'url="whisper"' in await ask(client, "/screening/")
    assert "1 5 5 5" in await ask(client, "/screening/whisper", {"From": "+1555"})
    assert "<script" not in await ask(client, "/screening/whisper", {"From": "<script>"})
    assert "<Hangup/>" not in await ask(client, "/screening/accept", {"Digits": "1"})
    assert "<Hangup/>" in await ask(client, "/screening/accept", {"Digits": "2"})
    assert "<Say>" in await ask(client, "/screening/over", {"DialBridged": "false"})


class Signing:
    """Signs as the platform does, by the official library."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._validator = RequestValidator(TOKEN)

    async def ask(self, path: str, form: Mapping[str, str]) -> str:
        url = str(self._client.make_url(path))
        headers = {"X-Twilio-Signature": self._validator.compute_signature(url, dict(form))}
        response = await self._client.post(path, data=dict(form), headers=headers)
        assert response.status == 200, path
        body = await response.read()
        program = compile_body(body, response.headers["Content-Type"])
        assert not program.warnings, program.warnings
        return body.decode()


async def test_the_phone_tree_of_the_tutorial_goes_where_its_keys_say(serve: Serve) -> None:
    signing = Signing(await serve(load("tutorial/phone_tree.py").application(TOKEN)))
    assert 'loop="3"' in await signing.ask("/ivr/welcome", {"CallSid": "CA1"})
    assert "second road" in await signing.ask("/ivr/menu", {"Digits": "1"})
    assert 'action="planets"' in await signing.ask("/ivr/menu", {"Digits": "2"})
    assert "welcome" in await signing.ask("/ivr/menu", {"Digits": "9"})
    assert "Dagobah" in await signing.ask("/ivr/planets", {"Digits": "3"})
    assert "main menu" in await signing.ask("/ivr/planets", {"Digits": "*"})


async def test_the_phone_tree_refuses_what_nobody_signed(serve: Serve) -> None:
    client = await serve(load("tutorial/phone_tree.py").application(TOKEN))
    response = await client.post("/ivr/welcome", data={"CallSid": "CA1"})
    assert response.status == 403
