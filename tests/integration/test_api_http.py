"""The REST listener as HTTP: formats, errors, credentials, limits, health."""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import struct
import wave
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import av
import pytest
from lxml import etree
from sqlalchemy.exc import OperationalError
from twilio.rest import Client

from callrouter.api.context import Context
from callrouter.api.server import ApiServer
from callrouter.errors import StartupError
from tests.integration.api_bench import (
    CHILD,
    NOW_MS,
    OTHER,
    OWNER,
    Bench,
    call_row,
    call_sid,
    event_row,
    in_thread,
    login,
    recording_row,
    serving,
)
from tests.patience import PATIENCE_SECONDS
from tests.unit.media.sound import sine, tone_level

CALLS = f"/2010-04-01/Accounts/{OWNER}/Calls"
RECORDING = "RE" + "1" * 32
LOGIN = login(OWNER, "owner-token")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path, head_seconds=0.3, body_seconds=0.3, body_bytes=2000) as bench:
        yield bench


@pytest.fixture
async def http(bench: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(bench.base) as session:
        yield session


async def test_xml_is_the_default_and_says_the_same(bench: Bench, http: aiohttp.ClientSession) -> None:
    await bench.add_calls(call_row(call_sid(1), caller_name="A <b> & \x01 c"), call_row(call_sid(2)))
    async with http.get(f"{CALLS}/{call_sid(1)}", headers=LOGIN) as answer:
        assert answer.content_type == "application/xml"
        call = etree.fromstring(await answer.read()).find("Call")
    assert call is not None
    assert call.findtext("Sid") == call_sid(1)
    assert call.findtext("FromFormatted") == "+15550199"
    assert call.findtext("CallerName") == "A <b> & \ufffd c"
    assert call.findtext("SubresourceUris/Recordings") == f"{CALLS}/{call_sid(1)}/Recordings.json"
    async with http.get(f"{CALLS}.xml?PageSize=1", headers=LOGIN) as answer:
        page = etree.fromstring(await answer.read()).find("Calls")
    assert page is not None
    assert (page.get("page"), page.get("pagesize"), len(page)) == ("0", "1", 1)
    assert "PageToken=PA" in (page.get("nextpageuri") or "")


async def test_list_has_exactly_the_keys_of_the_envelope(bench: Bench, http: aiohttp.ClientSession) -> None:
    await bench.add_calls(call_row(call_sid(1)))
    async with http.get(f"{CALLS}.json?To=%2B15550100", headers=LOGIN) as answer:
        page = await answer.json()
    assert set(page) == {
        "calls",
        "page",
        "page_size",
        "start",
        "end",
        "uri",
        "first_page_uri",
        "previous_page_uri",
        "next_page_uri",
    }
    assert (page["page"], page["page_size"], page["start"], page["end"]) == (0, 50, 0, 0)
    assert page["uri"] == f"{CALLS}.json?To=%2B15550100"
    assert page["first_page_uri"] == f"{CALLS}.json?To=%2B15550100&PageSize=50&Page=0"
    assert page["next_page_uri"] is page["previous_page_uri"] is None


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{CALLS}/{call_sid(5)}.json", 404, 20404),
        ("GET", f"/2010-04-01/Accounts/{OWNER}/Unicorns.json", 404, 20404),
        ("GET", f"{CALLS}/nonsense.json", 404, 20404),
        ("PUT", f"{CALLS}.json", 405, 20004),
        ("GET", f"/2010-04-01/Accounts/{OTHER}/Calls.json", 404, 20404),
    ],
)
async def test_errors_have_the_envelope_clients_expect(
    http: aiohttp.ClientSession, method: str, path: str, status: int, code: int
) -> None:
    async with http.request(method, path, headers=LOGIN) as answer:
        error = await answer.json()
        assert answer.status == status
    assert set(error) == {"code", "message", "more_info", "status"}
    assert (error["code"], error["status"]) == (code, status)


async def test_errors_are_xml_where_the_path_says_so(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{CALLS}/{call_sid(5)}", headers=LOGIN) as answer:
        assert answer.status == 404
        error = etree.fromstring(await answer.read()).find("RestException")
    assert error is not None
    assert (error.findtext("Code"), error.findtext("Status")) == ("20404", "404")


@pytest.mark.parametrize("path", [f"{CALLS}.json", "/v1/usage", "/2010-04-01/nowhere", "/v1/nowhere", "/"])
@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ###", "Basic bm9jb2xvbg==", "Bearer x", "Basic gICA", "Basic " + "A" * 4000],
)
async def test_nothing_is_served_without_credentials(
    http: aiohttp.ClientSession, path: str, header: str
) -> None:
    async with http.get(path, headers={"Authorization": header} if header else {}) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_guessing_tokens_is_stopped_for_a_minute(bench: Bench, http: aiohttp.ClientSession) -> None:
    async def attempt(password: str, user: str = OWNER) -> tuple[int, str | None]:
        async with http.get(f"{CALLS}.json", headers=login(user, password)) as answer:
            return answer.status, answer.headers.get("Retry-After")

    for number in range(20):
        assert await attempt(f"guess {number}") == (401, None)
    assert await attempt("owner-token") == (429, "60")
    assert (await attempt("other-token", OTHER))[0] == 404
    bench.clock.now_ms += 60_000
    assert (await attempt("owner-token"))[0] == 200


async def test_oversized_body_is_413(http: aiohttp.ClientSession) -> None:
    async with http.post(f"{CALLS}.json", data={"Twiml": "x" * 3000}, headers=LOGIN) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, 20413)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"\xff\xfe%%%"),
        ("application/x-www-form-urlencoded; charset=klingon", b"To=x"),
        ("multipart/form-data", b"no boundary"),
    ],
)
async def test_body_that_is_no_form_is_400(http: aiohttp.ClientSession, kind: str, body: bytes) -> None:
    headers = {**LOGIN, "Content-Type": kind}
    async with http.post(f"{CALLS}.json", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert "form" in (await answer.json())["message"]


async def test_handler_that_breaks_costs_only_its_answer(bench: Bench, http: aiohttp.ClientSession) -> None:
    bench.control.error = ZeroDivisionError("secret detail")
    form = {"To": "+1555", "From": "+1556", "Twiml": "<Response/>"}
    async with http.post(f"{CALLS}.json", data=form, headers=LOGIN) as answer:
        text = await answer.text()
        assert (answer.status, json.loads(text)["code"]) == (500, 20500)
    assert "secret" not in text
    async with http.get("/healthz") as answer:
        assert answer.status == 200


async def _dribble(bench: Bench, head: bytes, drops: bytes) -> bytes:
    """What the server says to somebody who sends `head` and then `drops`, byte by byte."""
    host, port = bench.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    try:
        for drop in drops:
            await asyncio.sleep(0.05)
            writer.write(bytes([drop]))
            await writer.drain()
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await reader.read(65536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_head_that_never_ends_is_hung_up_on(bench: Bench) -> None:
    assert await _dribble(bench, b"GET /healthz HTTP/1.1\r\nX: ", b"a" * 20) == b""


async def test_body_that_never_ends_is_answered_408(bench: Bench) -> None:
    head = (
        f"POST {CALLS}.json HTTP/1.1\r\nHost: h\r\nAuthorization: {LOGIN['Authorization']}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
    )
    assert (await _dribble(bench, head.encode(), b"a" * 12)).startswith(b"HTTP/1.1 408 ")


async def test_metrics_and_health_need_no_credentials(bench: Bench, http: aiohttp.ClientSession) -> None:
    async with http.get("/metrics") as answer:
        assert "callrouter_calls_live" in await answer.text()
        assert answer.content_type == "text/plain"
    async with http.get("/readyz") as answer:
        assert answer.status == 200
    bench.reasons.append("draining")
    async with http.get("/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["reasons"] == ["draining"]
    async with http.get("/healthz") as answer:
        assert answer.status == 200


@pytest.fixture
async def recording(bench: Bench, tmp_path: Path) -> Path:
    path = tmp_path / "recording.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(200)) * 10)
    await bench.add_calls(call_row(call_sid(1)))
    await bench.add_recordings(
        recording_row(RECORDING, path),
        recording_row("RE" + "2" * 32, path, status="in-progress", duration_ms=None, start_ms=NOW_MS - 1),
        recording_row("RE" + "3" * 32, path, OTHER),
    )
    return path


async def test_recording_url_gives_the_audio(http: aiohttp.ClientSession, recording: Path) -> None:
    url = f"/2010-04-01/Accounts/{OWNER}/Recordings/{RECORDING}"
    for address in (url, f"{url}.wav"):
        async with http.get(address) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/x-wav")
            assert await answer.read() == recording.read_bytes()
    async with http.get(f"{url}?RequestedChannels=1") as answer:
        assert await answer.read() == recording.read_bytes()
    for query, code in (("2", 16113), ("3", 20422), ("one", 20422)):
        async with http.get(f"{url}?RequestedChannels={query}") as answer:
            assert answer.status == 400
            assert f"<Code>{code}</Code>" in await answer.text()
    for missing in (f"{url[:-1]}9", f"{url[:-32]}{'2' * 32}", f"{url[:-32]}{'3' * 32}"):
        async with http.get(missing, headers=LOGIN) as answer:
            assert answer.status == 404


async def test_a_recording_is_given_as_mp3_too(http: aiohttp.ClientSession, recording: Path) -> None:
    tone = sine(1000, 3.0, level=8000)
    with wave.open(str(recording), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<hh", sample, 0) for sample in tone))
    url = f"/2010-04-01/Accounts/{OWNER}/Recordings/{RECORDING}.mp3"

    async def get() -> bytes:
        async with http.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/mpeg")
            return await answer.read()

    one, other = await asyncio.gather(get(), get())
    assert one == other == await get()
    rate, (left, right) = heard_in(one)
    assert rate == 8000
    assert 24_000 <= len(left) < 24_000 + 4 * 576
    assert math.isclose(tone_level(left[4000:20000], 1000), 8000, rel_tol=0.05)
    assert max(map(abs, right[4000:20000])) < 200
    async with http.delete(url.replace(".mp3", ".json"), headers=LOGIN) as answer:
        assert answer.status == 204
    assert not list(recording.parent.glob(f"{recording.stem}*"))
    async with http.get(url) as answer:
        assert answer.status == 404


def heard_in(file: bytes) -> tuple[int, list[list[float]]]:
    """The rate of an MP3, and the samples of each of its channels, on the scale of 16 bits."""
    with av.open(io.BytesIO(file), "r") as opened:
        audio = opened.streams.audio[0]
        frames = list(opened.decode(audio))
        channels = [
            [
                32768 * x
                for frame in frames
                for x in array("f", bytes(frame.planes[side])[: 4 * frame.samples])
            ]
            for side in range(audio.channels)
        ]
        return audio.rate, channels


async def test_two_channels_are_mixed_into_one_when_one_is_asked_for(
    bench: Bench, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path = tmp_path / "dual.wav"
    left, right = sine(1000, 2.0, level=6000), sine(440, 2.0, level=3000)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<hh", *pair) for pair in zip(left, right, strict=True)))
    await bench.add_calls(call_row(call_sid(1)))
    await bench.add_recordings(recording_row(RECORDING, path, channels=2))
    url = f"/2010-04-01/Accounts/{OWNER}/Recordings/{RECORDING}"

    async def get(form: str) -> bytes:
        async with http.get(f"{url}{form}") as answer:
            assert answer.status == 200
            return await answer.read()

    dual, mono, again = await asyncio.gather(
        get(".wav?RequestedChannels=2"), get("?RequestedChannels=1"), get(".wav?RequestedChannels=1")
    )
    assert dual == await get(".wav") == path.read_bytes()
    assert mono == again
    with wave.open(io.BytesIO(mono)) as sound:
        assert sound.getparams()[:4] == (1, 2, 8000, 16_000)
        heard = array("h", sound.readframes(16_000))
    assert list(heard) == [one + other for one, other in zip(left, right, strict=True)]
    _, (samples,) = heard_in(await get(".mp3?RequestedChannels=1"))
    for hertz, level in ((1000, 6000), (440, 3000)):
        assert math.isclose(tone_level(samples[4000:14_000], hertz), level, rel_tol=0.1)
    assert len(heard_in(await get(".mp3"))[1]) == 2
    async with http.delete(f"{url}.json", headers=LOGIN) as answer:
        assert answer.status == 204
    assert not list(tmp_path.glob("*dual*"))


async def test_wrong_credentials_do_not_open_a_recording(
    http: aiohttp.ClientSession, recording: Path
) -> None:
    url = f"/2010-04-01/Accounts/{OWNER}/Recordings/{RECORDING}.wav"
    async with http.get(url, headers=login(OTHER, "other-token")) as answer:
        assert answer.status == 404
    async with http.get(url, headers=login(OWNER, "wrong")) as answer:
        assert answer.status == 401
    async with http.get(url.replace(".wav", ".json")) as answer:
        assert answer.status == 401


async def test_recordings_can_be_closed_to_strangers(tmp_path: Path) -> None:
    url = f"/2010-04-01/Accounts/{OWNER}/Recordings/{RECORDING}.wav"
    async with (
        serving(tmp_path, open_recordings=False) as bench,
        aiohttp.ClientSession(bench.base) as http,
        http.get(url) as answer,
    ):
        assert answer.status == 401


async def test_recordings_through_the_official_client(bench: Bench, recording: Path) -> None:
    client = Client(OWNER, "owner-token")
    client.api.base_url = bench.base
    listed = await in_thread(client.recordings.list)
    assert [one.status for one in listed] == ["completed", "in-progress"]
    got = await in_thread(client.recordings(RECORDING).fetch)
    assert (got.duration, got.channels, got.source, got.call_sid) == ("3", 1, "RecordVerb", call_sid(1))
    assert got.media_url == f"{bench.base}/2010-04-01/Accounts/{OWNER}/Recordings/{RECORDING}"
    of_call = await in_thread(client.calls(call_sid(1)).recordings.list)
    assert [one.sid for one in of_call] == [one.sid for one in listed]
    assert await in_thread(client.recordings(RECORDING).delete) is True
    assert not recording.exists()
    assert [one.status for one in await in_thread(client.recordings.list)] == ["in-progress"]


async def test_trouble_and_requests_of_a_call_can_be_read(bench: Bench) -> None:
    await bench.add_calls(call_row(call_sid(1)), call_row(call_sid(2), OTHER))
    await bench.add_events(
        event_row("NO" + "1" * 32, call_sid(1)),
        event_row("NO" + "2" * 32, call_sid(1), level="error", code=11200, message="HTTP 500", status=500),
        event_row(
            "NO" + "3" * 32,
            call_sid(1),
            kind="notice",
            level="warning",
            code=12200,
            message="<Sya> is unknown",
            line=3,
            request="",
        ),
        event_row("NO" + "4" * 32, call_sid(2), OTHER, level="error", code=11205),
    )
    client = Client(OWNER, "owner-token")
    client.api.base_url = bench.base
    notes = await in_thread(client.calls(call_sid(1)).notifications.list)
    assert {(note.error_code, note.log) for note in notes} == {("11200", "0"), ("12200", "1")}
    assert "<Sya> is unknown (line 3)" in {note.message_text for note in notes}
    errors = await in_thread(client.api.v2010.accounts(OWNER).notifications.list, log=0)
    assert [note.error_code for note in errors] == ["11200"]
    one = await in_thread(client.calls(call_sid(1)).notifications("NO" + "2" * 32).fetch)
    assert (one.request_variables, one.response_body) == ("CallSid=CA1&From=%2B1555", "<Response/>")
    events = await in_thread(client.calls(call_sid(1)).events.list)
    assert len(events) == 2
    assert events[0].request["parameters"] == {"CallSid": "CA1", "From": "+1555"}


async def test_every_read_of_another_tenants_resources_is_404(
    bench: Bench, http: aiohttp.ClientSession, recording: Path
) -> None:
    await bench.add_events(event_row("NO" + "2" * 32, call_sid(1), level="error"))
    account = f"/2010-04-01/Accounts/{OWNER}"
    for sid, token in ((OTHER, "other-token"), (CHILD, "child-token")):
        for base in (account, account.replace(OWNER, sid)):
            for path in (
                "Calls/" + call_sid(1),
                f"Calls/{call_sid(1)}/Recordings",
                f"Calls/{call_sid(1)}/Events",
                f"Calls/{call_sid(1)}/Notifications",
                f"Recordings/{RECORDING}",
                f"Notifications/{'NO' + '2' * 32}",
            ):
                async with http.get(f"{base}/{path}.json", headers=login(sid, token)) as answer:
                    assert answer.status == 404, path


async def test_busy_port_is_named_with_the_remedy(bench: Bench) -> None:
    port = int(bench.base.rpartition(":")[2])
    context: Context = bench.context(port=port)
    with pytest.raises(StartupError, match=rf":{port}.*api\.port"):
        await ApiServer(context).start()


async def test_what_does_not_work_is_told_while_calls_may_come(
    bench: Bench, http: aiohttp.ClientSession
) -> None:
    bench.troubles = ["the projection of the journal failed"]
    async with http.get("/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"status": "degraded", "reasons": bench.troubles}
    bench.reasons = ["draining"]
    async with http.get("/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["reasons"] == ["draining", *bench.troubles]


async def test_requests_are_counted_by_template_and_class_only(
    bench: Bench, http: aiohttp.ClientSession
) -> None:
    headers = login(OWNER, "owner-token")
    for sid in (call_sid(1), call_sid(2)):
        async with http.get(f"/v1/sessions/{sid}", headers=headers) as answer:
            assert answer.status == 404
        async with http.get(f"/2010-04-01/Accounts/{OWNER}/Calls/{sid}.json", headers=headers) as answer:
            assert answer.status == 404
    for path in ("/v1/usage", "/nowhere/7", "/nowhere/8", "/healthz"):
        async with http.get(path) as answer:
            await answer.read()
    figures = bench.figures.render().decode()
    counted = dict(re.findall(r"callrouter_rest_requests_total{(.*?)} (\S+)", figures))
    assert counted == {
        'class="4xx",route="/v1/sessions/{sid}"': "2.0",
        'class="4xx",route="/2010-04-01/Accounts/{account}/Calls/{sid}{format}"': "2.0",
        'class="4xx",route="/v1/usage"': "1.0",
        'class="4xx",route="none"': "2.0",
        'class="2xx",route="/healthz"': "1.0",
    }


async def test_a_database_that_cannot_be_had_is_a_503_and_no_fault(
    bench: Bench, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> list[dict[str, object]]:
        raise OperationalError("", {}, OSError("connection refused"))

    monkeypatch.setattr(bench.database, "read", gone)
    for path in (f"{CALLS}.json", "/v1/usage"):
        async with http.get(path, headers=LOGIN) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "database" in await answer.text()
