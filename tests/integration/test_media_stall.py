"""Python standing still is not heard: the engine's threads need nothing of it."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from callrouter.ports import (
    AudioFile,
    CloseLeg,
    DigitReceived,
    Join,
    LegClosed,
    MediaAddress,
    Play,
    PlayPrompt,
)
from tests.integration.rtp_peer import room
from tests.unit.media.sound import sine, write_wav

LISTENER = """
import json, socket, sys, time
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", 0))
listener.settimeout(10)
print(listener.getsockname()[1], flush=True)
heard = []
while not heard or heard[-1][0] - heard[0][0] < 3.0:
    data = listener.recv(2048)
    heard.append((time.monotonic(), int.from_bytes(data[2:4], "big"), set(data[12:]) == {255}))
print(json.dumps(heard))
"""


def hold_the_gil(seconds: int) -> None:
    """`sleep` of the C library, called without letting go of the GIL."""
    ctypes.PyDLL(None).sleep(seconds)


async def test_a_leg_plays_on_while_the_gil_is_held_for_two_seconds(tmp_path: Path) -> None:
    listener = subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True)
    assert listener.stdout is not None
    with listener.stdout as lines:
        port = int(lines.readline())
        async with room() as here:
            station = here.station()
            prompt = await here.media.prompt(
                AudioFile(write_wav(tmp_path / "p.wav", sine(440, 5.0)), "audio/wav", "p")
            )
            here.media.submit(
                station.remote(address=MediaAddress("127.0.0.1", port)),
                Play(station.leg, here.media.token(), (PlayPrompt(prompt),)),
            )
            time.sleep(0.3)
            before = time.monotonic()
            hold_the_gil(2)
            assert time.monotonic() - before >= 1.9
            heard = json.loads(lines.readline())
            listener.wait()
    gaps = [after[0] - before[0] for before, after in pairwise(heard)]
    assert max(gaps) < 1, "Python stood still for two seconds, and a machine does for less"
    assert all((b[1] - a[1]) % 2**16 == 1 for a, b in pairwise(heard))
    assert not any(silent for _, _, silent in heard[2:])


async def test_events_of_the_time_python_stood_still_arrive_in_order_with_their_times() -> None:
    async with room() as here:
        a, b = here.station(), here.station()
        here.media.submit(a.remote(), b.remote(), Join(a.leg, b.leg))
        time.sleep(0.05)
        sender = a.peer
        for code in range(10):
            for index in range(7):
                sender.send_event(code, min(index + 1, 5) * 160, end=index >= 4)
            sender.timestamp = (sender.timestamp + 1600) % 2**32
            busy_until = time.monotonic() + 0.03
            while time.monotonic() < busy_until:
                pass
        here.media.submit(CloseLeg(a.leg))
        await a.told(LegClosed)
        digits = [event for event in a.events if isinstance(event, DigitReceived)]
        assert "".join(event.digit for event in digits) == "0123456789"
        assert [event.at_ns for event in a.events] == sorted(event.at_ns for event in a.events)
        assert isinstance(a.events[-1], LegClosed)
