"""Two of Linphone that describe their silence talk to each other: `python -m tests.trials.comfort_noise`.

Needs `linphonec` (Debian: linphone-cli) and root, for a network of its own: Linphone takes the first address
that it finds.  Prints how loud each tenth of a second of what the caller says is: in the file that it
plays, in our recording, and in what the callee hears.  The pauses have to be noise, and no gap.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import subprocess
import sys
import tempfile
import wave
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.addresses import free_port
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application
from tests.unit.media.sound import channels_of, chatter, write_wav

RATE = 8000
PART = RATE // 10
QUIET = 40
"""Effective value of the noise in the caller's pauses."""
NETWORK = "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1; exec "
RC = """[sip]
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
guess_hostname=0
auto_net_state_mon=0
contact=sip:{name}@127.0.0.1:{port}
[rtp]
audio_rtp_port={audio}
[misc]
use_cn=1
[sound]
echocancellation=0
[audio_codec_0]
mime=PCMU
rate=8000
enabled=1
"""


class Linphone:
    def __init__(self, folder: Path, name: str) -> None:
        self.port = free_port()
        self._folder = folder / name
        (self._folder / ".local/share/linphone").mkdir(parents=True)
        self._rc = self._folder / "rc"
        self._rc.write_text(RC.format(port=self.port, audio=free_port(), name=name))

    async def start(self) -> None:
        order = ("linphonec", "-a", "-c", str(self._rc))
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        home = os.environ | {"HOME": str(self._folder)}
        self._process = await asyncio.create_subprocess_exec(
            *order, env=home, stdin=pipe, stdout=nothing, stderr=nothing
        )
        await asyncio.sleep(2)
        await self.tell("soundcard use files")

    async def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()
        await asyncio.sleep(0.5)

    async def stop(self) -> None:
        await self.tell("quit")
        await self._process.wait()


@asynccontextmanager
async def started(folder: Path, *names: str) -> AsyncIterator[list[Linphone]]:
    phones = [Linphone(folder, name) for name in names]
    for phone in phones:
        await phone.start()
    yield phones
    for phone in phones:
        await phone.stop()


def loudness(samples: list[int]) -> list[int]:
    parts = [samples[at : at + PART] for at in range(0, len(samples) - PART, PART)]
    return [round(math.sqrt(sum(value * value for value in part) / PART)) for part in parts]


def read(path: Path) -> list[int]:
    with wave.open(str(path)) as file:
        samples = array("h", file.readframes(file.getnframes()))
        return list(samples[:: file.getnchannels() * file.getframerate() // RATE])


async def call(folder: Path) -> bool:
    chance, heard, said = random.Random(2), folder / "heard.wav", folder / "said.wav"
    pause = array("h", (round(chance.gauss(0, QUIET)) for _ in range(3 * RATE)))
    write_wav(said, chatter(2) + pause + chatter(2) + pause)
    async with Documents() as documents, started(folder, "alice", "bob") as (alice, bob):
        noun = f"<Sip>sip:bob@127.0.0.1:{bob.port}</Sip>"
        documents.on("/answer", f'<Dial record="record-from-answer-dual">{noun}</Dial>')
        state = one_application(documents.url("/answer"))
        allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
        offer = {"comfort_noise": "offer"}
        async with Server(folder / "server", state, fetch=allowed, sip=offer) as server:
            await alice.tell(f"call sip:+15550100@{server.sip}")
            await asyncio.sleep(2)
            await bob.tell(f"record {heard}")
            await alice.tell(f"play {said}")
            await asyncio.sleep(10)
            await alice.tell("terminate")
            await asyncio.sleep(1)
    (recording,) = folder.rglob("RE*.wav")
    tracks = {"played": read(said), "recorded": channels_of(recording)[0], "heard": read(heard)}
    for name, samples in tracks.items():
        print(f"{name:9}", *loudness(samples))
    quiet = {name: [v for v in loudness(samples) if 0 < v < 2 * QUIET] for name, samples in tracks.items()}
    return all(len(parts) > 40 for parts in quiet.values())


def main() -> int:
    if "--here" not in sys.argv:
        again = f"{sys.executable} -m tests.trials.comfort_noise --here"
        return subprocess.run(["unshare", "-n", "sh", "-c", NETWORK + again], check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(call(Path(folder)))
    print("the pauses are noise" if good else "FAILED: the pauses are no noise")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
