"""`callrouter call NUMBER`: try a number with no telephone."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from callrouter.caller.line import Line, facing, open_line
from callrouter.caller.phone import Phone
from callrouter.caller.script import Entry, LetPass, Press, Speak, parse
from callrouter.caller.story import Story
from callrouter.caller.voice import write_hum
from callrouter.errors import CallError, StartupError

DESCRIPTION = """Place a call over SIP and RTP, and tell what happened on it.

When the other side has spoken and then fallen silent it is the caller's turn; each turn uses up one
entry of --press.  After the last one the call goes on until the other side hangs up, or for the
seconds of --say-nothing.

Exit status: 0 the call was answered and went as asked; 1 it was not answered; 2 the command line is
wrong; 3 it was answered, but ended before every entry had its turn, or broke off."""

SPARE_VOICE_MS = 2500
LIMIT_SECONDS = 120.0
CALLER = "+15550199"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.add_argument("number", metavar="NUMBER", help="a telephone number, or a whole sip: address")
    parser.add_argument(
        "--server", default="127.0.0.1:5060", metavar="HOST:PORT", help="who to call (default %(default)s)"
    )
    parser.add_argument("--from", dest="caller", default=CALLER, metavar="NUMBER", help="default %(default)s")
    parser.add_argument(
        "--press",
        type=_script,
        default=(),
        metavar="ENTRIES",
        help="what to do at each turn: keys (1 or 12#), w to let it pass, v to speak; e.g. 1,w,5,v",
    )
    parser.add_argument(
        "--say-nothing", type=_seconds, metavar="SECONDS", help="stay silent this long, then hang up"
    )
    parser.add_argument("--voice", type=Path, metavar="WAV", help="what v speaks (default: a hum)")
    parser.add_argument("--record", type=Path, metavar="WAV", help="keep what was heard")
    parser.add_argument(
        "--limit",
        type=_seconds,
        default=LIMIT_SECONDS,
        metavar="SECONDS",
        help="hang up after this long at the latest (default %(default)g)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object at the end instead of lines"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command line; the process's exit status."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        story = asyncio.run(_call(arguments))
    except (CallError, StartupError) as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    _tell(json.dumps(story.as_json(), indent=2) if arguments.json else story.summary())
    return exit_status(story)


def exit_status(story: Story) -> int:
    if story.answered_ms is None:
        return 1
    return 3 if story.left_over or story.broke_off else 0


async def _call(arguments: argparse.Namespace) -> Story:
    story = Story(arguments.number, arguments.server)
    if not arguments.json:
        story.tell = lambda moment: _tell(str(moment))
    async with open_line(facing(peer(arguments.number, arguments.server))) as line:
        with tempfile.TemporaryDirectory(prefix="callrouter-call-") as folder:
            await _converse(line, Path(folder), story, arguments)
    return story


async def _converse(line: Line, folder: Path, story: Story, arguments: argparse.Namespace) -> None:
    phone = Phone(line.signalling, line.media, line.clock, folder, story)
    voice = arguments.voice or folder / "voice.wav"
    if arguments.voice is None and Speak() in arguments.press:
        await asyncio.to_thread(write_hum, voice, SPARE_VOICE_MS)
    try:
        async with asyncio.timeout(arguments.limit):
            if await phone.dial(
                target(arguments.number, arguments.server), arguments.caller, arguments.record
            ):
                story.left_over = await follow(phone, arguments.press, voice)
                await phone.over(arguments.limit if arguments.say_nothing is None else arguments.say_nothing)
    except TimeoutError:
        story.note(int(arguments.limit * 1000), "limit", f"{arguments.limit:g} s are over")
    finally:
        await phone.hangup()


async def follow(phone: Phone, script: tuple[Entry, ...], voice: Path) -> int:
    """Use up `script`, an entry a turn; how many entries had none because the call ended."""
    for used, entry in enumerate(script):
        if not await phone.turn():
            return len(script) - used
        match entry:
            case Press():
                await phone.press(entry.digits)
            case Speak():
                await phone.speak(voice)
            case LetPass():
                pass
    return 0


def target(number: str, server: str) -> str:
    """The SIP address of `number` at `server`; a whole address stays what it is."""
    return number if number.startswith(("sip:", "sips:")) else f"sip:{number}@{server}"


def peer(number: str, server: str) -> str:
    """Host and port that the call goes to."""
    if not number.startswith(("sip:", "sips:")):
        return server
    host = number.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]
    return host if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else f"{host}:5060"


def _script(text: str) -> tuple[Entry, ...]:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 14400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 14400")
    return seconds


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"callrouter call: {text}\n")
