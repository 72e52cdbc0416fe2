"""baresip, a telephone somebody else wrote, driven over its control socket."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from callrouter.caller.hearing import Heard, sounds_in
from callrouter.caller.voice import hum
from tests.e2e.addresses import free_port, free_ports
from tests.e2e.process import Program
from tests.e2e.tune import write
from tests.patience import PATIENCE_SECONDS, until

BARESIP = shutil.which("baresip")
VOICE_MS, VOICES = 5_000, 60
"""What it says, and how often: it hangs up when it has said all."""
RTP_PORTS = 40

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip}
call_max_calls 8
audio_player aubridge,nobody
audio_source aufile,{folder}/voice.wav
audio_alert aubridge,nobody
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_buffer 20-160
rtp_ports {rtp}-{rtp_last}
rtp_timeout 60
net_interface 127.0.0.1
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
{extra}
snd_path {folder}
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""
ACCOUNT = "<sip:{user}@127.0.0.1>;regint=0;answermode={mode};audio_codecs={codec}\n"


class Baresip:
    """One telephone with one account."""

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "100",
        mode: str = "manual",
        codec: str = "pcmu",
        account: str = "",
        extra: tuple[str, ...] = (),
    ) -> None:
        """`extra` are lines for its configuration, such as `module g722.so`."""
        self.folder = folder
        self.port = free_port()
        self._control = free_port()
        self._account = account or ACCOUNT.format(user=user, mode=mode, codec=codec)
        self._user = user
        self._extra = extra
        self._program: Program | None = None
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Condition()

    @property
    def uri(self) -> str:
        return f"sip:{self._user}@127.0.0.1:{self.port}"

    async def __aenter__(self) -> Baresip:
        assert BARESIP is not None
        await asyncio.to_thread(self._write_files)
        self._program = await Program.start(
            "baresip", [BARESIP, "-f", self.folder, "-v"], self.folder / "baresip.log", cwd=self.folder
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, self._writer = await self._connect()
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        if self._program is not None:
            await self._program.stop()

    async def dial(self, uri: str) -> None:
        await self.command("dial", uri)

    async def command(self, name: str, parameters: str = "") -> None:
        """`dial`, `accept`, `hangup`, `hold`, `resume`, `sndcode` (a key; "" lets go of it) …"""
        assert self._writer is not None
        body = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        await self._writer.drain()

    async def press(self, digit: str, ms: int = 100) -> None:
        await self.command("sndcode", digit)
        await asyncio.sleep(ms / 1000)
        await self.command("sndcode", "\x04")

    async def event(self, kind: str, seconds: float = PATIENCE_SECONDS, *, number: int = 1) -> dict[str, Any]:
        """Wait for the `number`-th event such as `CALL_ESTABLISHED` or `CALL_CLOSED`, past ones included."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: len(self._of(kind)) >= number)
        except TimeoutError:
            raise AssertionError(f"baresip saw no {kind}\n{self.words()}") from None
        return self._of(kind)[number - 1]

    async def registered(self) -> None:
        """It registers before anybody can listen to its events, but says so."""
        await until(lambda: " binding]" in self.words())

    def saw(self, kind: str) -> bool:
        return bool(self._of(kind))

    def heard(self) -> tuple[Heard, ...]:
        """What its user heard, after the call."""
        return tuple(sound for path in sorted(self.folder.glob("*-dec.wav")) for sound in sounds_in(path))

    async def is_sent_audio(self) -> None:
        """Wait until it finds, looking once a second from now on, that an RTP packet has just come."""
        looked = len(self._silences())
        await until(lambda: min(self._silences()[looked:], default=1000) < 200)

    def _silences(self) -> list[int]:
        assert self._program is not None
        text = self._program.log.read_text("utf-8", "replace")
        return [int(ms) for ms in re.findall(r'last "audio" RTP packet: (\d+) milliseconds', text)]

    async def sees(self, width: int, height: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has decoded a picture of that size."""
        assert self._program is not None
        told = f"video: receiving with resolution {width} x {height} "
        try:
            async with asyncio.timeout(seconds):
                while told not in self._program.log.read_text("utf-8", "replace"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"baresip saw no picture\n{self.words()}") from None

    def words(self) -> str:
        return self._program.words() if self._program is not None else ""

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self._events if event.get("type") == kind]

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        listing = subprocess.run(["dpkg", "-L", "baresip-core"], capture_output=True, text=True, check=False)
        found = [line for line in listing.stdout.splitlines() if line.endswith("/g711.so")]
        modules = Path(found[0]).parent if found else Path("/usr/lib/baresip/modules")
        rtp = free_ports(RTP_PORTS)
        text = CONFIG.format(
            sip=self.port,
            control=self._control,
            rtp=rtp,
            rtp_last=rtp + RTP_PORTS,
            folder=self.folder,
            modules=modules,
            extra="\n".join(self._extra),
        )
        (self.folder / "config").write_text(text)
        (self.folder / "accounts").write_text(self._account)
        (self.folder / "contacts").write_text("")
        write(self.folder / "voice.wav", hum(VOICE_MS) * VOICES)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            assert self._program is not None
            assert self._program.running, self.words()
            try:
                return await asyncio.open_connection("127.0.0.1", self._control)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Netstrings of JSON, until the telephone goes."""
        while True:
            try:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads((await reader.readexactly(length + 1))[:-1])
            except asyncio.IncompleteReadError:
                return
            if message.get("event"):
                async with self._news:
                    self._events.append(message)
                    self._news.notify_all()
