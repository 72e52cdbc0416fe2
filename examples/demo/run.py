"""The whole demonstration in one command.

python run.py              demonstrate, then keep serving until Ctrl-C
python run.py --once       demonstrate, and leave with 0 if everything was right
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from base64 import b64encode
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog
import timeline
from conversation import Outcome, Scene, at_the_desk, play
from house import HERE, Fault, Program, open_house, until_one_ends

from callrouter.caller.hearing import sounds_in
from callrouter.config import Config, load_config
from callrouter.errors import CallrouterError
from callrouter.sip.protocol.uri import Uri
from callrouter.speech.offline import OfflineSpeech

ACCOUNT = "demo"
NUMBER = "+15550100"
AGENT_SAYS = "Hello, this is the agent. Everything is working today. Thank you for calling. Goodbye."
COMMENT = "The agent was very friendly, and I did not have to wait."
ORDER = ["acme.menu", "platform.bridge", "beta.survey"]
SETTLE_SECONDS = 30.0
TOLERANCE_MS = 2_000
"""Between the length of the call as the caller saw it and as it was metered."""


async def scene_of(config: Config, folder: Path) -> Scene:
    """Where the call goes and what is said on it, by the configuration."""
    agent = Uri.parse(config.applications["helpline"].instances["desk"].parameters["target"])
    listen = config.sip.listen[0]
    spoken = await _speak(config, AGENT_SAYS, COMMENT)
    return Scene(
        number=NUMBER,
        server=f"{listen.host}:{listen.port}",
        agent_host=agent.host,
        agent_port=agent.port or 5060,
        agent_voice=spoken[0],
        comment=spoken[1],
        folder=folder,
    )


async def demonstrate(config: Config, scene: Scene) -> list[str]:
    """One call from end to end; what was wrong with it."""
    folder = scene.folder
    outcome = await play(scene, print)
    account = config.accounts[ACCOUNT]
    login = f"{account.sid}:{account.token.get_secret_value()}"
    headers = {"Authorization": "Basic " + b64encode(login.encode()).decode()}
    base = f"http://{config.api.host}:{config.api.port}"
    async with aiohttp.ClientSession(base, headers=headers, raise_for_status=True) as http:
        root = f"/2010-04-01/Accounts/{account.sid}"
        latest = await _json(http, f"{root}/Calls.json?To={quote(NUMBER)}&PageSize=1")
        session = await _ended(http, latest["calls"][0]["sid"])
        found = await _recording_faults(http, root, session["sid"], folder)
    print()
    print("\n".join(timeline.lines(session)))
    print(flush=True)
    return timeline.problems(session) + _faults(session, outcome) + found


async def _speak(config: Config, *texts: str) -> list[Path]:
    speech = OfflineSpeech(config.speech)
    await speech.start()
    try:
        return [(await speech.synthesize(text, voice="woman", language="en-US")).path for text in texts]
    finally:
        await speech.stop()


async def _json(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(path) as response:
        return await response.json()


async def _ended(http: aiohttp.ClientSession, sid: str) -> dict[str, Any]:
    """The session once its last fact is in the database."""
    session: dict[str, Any] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while session.get("status") != "ended" or timeline.problems(session):
                session = await _json(http, f"/v1/sessions/{sid}")
                await asyncio.sleep(0.1)
    return session


async def _recording_faults(http: aiohttp.ClientSession, root: str, call: str, folder: Path) -> list[str]:
    recordings = (await _json(http, f"{root}/Calls/{call}/Recordings.json"))["recordings"]
    if len(recordings) != 1:
        return [f"the call has {len(recordings)} recordings, not the one comment"]
    async with http.get(f"{root}/Recordings/{recordings[0]['sid']}.wav") as response:
        audio = folder / "comment.wav"
        audio.write_bytes(await response.read())
    heard = sounds_in(audio)
    seconds = sum(sound.to_ms - sound.from_ms for sound in heard) / 1000
    print(f"\nthe comment was recorded: {seconds:.1f} s of sound in {audio}")
    return [] if seconds >= 1 else [f"the recorded comment holds {seconds:.1f} s of sound"]


def _faults(session: dict[str, Any], outcome: Outcome) -> list[str]:
    found = []
    root = session["calls"][0]
    priced = [interval for interval in root["intervals"] if interval["mode"] != "setup"]
    modules = [interval["module"] for interval in priced]
    if list(dict.fromkeys(modules)) != ORDER:
        found.append(f"the modules in control were {', '.join(modules)}; expected {', '.join(ORDER)}")
    found += [
        f"{interval['module']} held the call for {interval['duration_ms']} ms and cost nothing"
        for interval in priced
        if not Decimal(interval["cost"]) > 0
    ]
    metered, seen = timeline.total_ms(root), outcome.story.ended_ms or 0
    if abs(metered - seen) > TOLERANCE_MS:
        found.append(f"the caller saw a call of {seen} ms, and {metered} ms were metered")
    if not outcome.story.heard:
        found.append("the caller heard nothing")
    if len(session["calls"]) != 2:
        found.append(f"the session has {len(session['calls'])} calls; expected the caller's and the agent's")
    return found


async def serve(programs: list[Program], scene: Scene) -> int:
    """Stay, with the agent at the desk, until Ctrl-C or until a program ends by itself."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"Serving. Call {NUMBER}:  callrouter call {NUMBER} --press 2,v     (Ctrl-C ends it)", flush=True)
    async with at_the_desk(scene):
        ended = asyncio.create_task(until_one_ends(programs))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, stopped):
        task.cancel()
    if stop.is_set():
        return 0
    program = ended.result()
    print(f"{program.name} ended by itself:\n{program.last_words()}", file=sys.stderr)
    return 1


async def run(path: Path, config: Config, once: bool) -> int:
    folder = config.storage.data_directory / "demo"
    async with open_house(path, config, folder) as programs:
        try:
            scene = await scene_of(config, folder)
            found = await demonstrate(config, scene)
        except (CallrouterError, aiohttp.ClientError) as error:
            found = [f"{type(error).__name__}: {error}"]
        except Fault as fault:
            found = [str(fault)]
        if found:
            print("The demonstration went wrong:", *found, sep="\n  - ", file=sys.stderr)
            print(f"Logs are in {folder}", file=sys.stderr)
            return 1
        print("Everything was as it should be.", flush=True)
        return 0 if once else await serve(programs, scene)


def main() -> int:
    parser = argparse.ArgumentParser(description="start the server and three modules, place a call, meter it")
    parser.add_argument("--once", action="store_true", help="leave after the demonstration")
    parser.add_argument("--config", type=Path, default=HERE.parents[1] / "config.yaml")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        config = load_config(arguments.config, os.environ)
        (config.storage.data_directory / "demo").mkdir(parents=True, exist_ok=True)
        return asyncio.run(run(arguments.config, config, arguments.once))
    except (CallrouterError, Fault) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
