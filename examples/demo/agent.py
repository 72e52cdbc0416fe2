"""The agent of the demonstration: a SIP telephone that answers, speaks, and hangs up.

python agent.py --port 5090
python agent.py --port 5090 --press 1 --press-after 4     # get past a screening prompt first
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path

from callrouter.caller.answering import Answering, Manner
from callrouter.caller.line import open_line
from callrouter.caller.voice import write_hum


async def serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="agent-") as name:
        folder = Path(name)
        voice = arguments.voice or folder / "voice.wav"
        if arguments.voice is None:
            write_hum(voice, int(arguments.talk * 1000))
        manner = Manner(
            voice=voice,
            ring_seconds=arguments.ring,
            keys=arguments.press,
            keys_after_seconds=arguments.press_after,
            hang_up=not arguments.stay,
        )
        async with open_line(arguments.host, arguments.port) as line:
            answering = Answering(line.signalling, line.media, line.clock, folder, manner)
            print(f"agent at sip:agent@{arguments.host}:{arguments.port}", flush=True)
            await stop.wait()
            await answering.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a telephone that answers, speaks and hangs up")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5090)
    parser.add_argument("--ring", type=float, default=0.5, metavar="SECONDS", help="before picking up")
    parser.add_argument("--talk", type=float, default=4.0, metavar="SECONDS", help="how long to speak")
    parser.add_argument("--voice", type=Path, metavar="WAV", help="what to say (default: a hum)")
    parser.add_argument("--press", default="", metavar="KEYS", help="keys to press after picking up")
    parser.add_argument("--press-after", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--stay", action="store_true", help="do not hang up after speaking")
    asyncio.run(serve(parser.parse_args()))
