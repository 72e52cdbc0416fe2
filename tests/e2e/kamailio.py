"""Kamailio, the proxy that many carriers run: between a telephone and the server, and as a carrier."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.addresses import free_port
from tests.e2e.process import Program
from tests.patience import PATIENCE_SECONDS

KAMAILIO = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
TEMPLATE = Path(__file__).with_name("kamailio.cfg")
SECRET = "line-secret"
_MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules", "/usr/lib/aarch64-linux-gnu/kamailio/modules")


@dataclass(slots=True)
class Kamailio:
    """Calls go where their user has registered, else to the server; numbers that the server calls go to
    the telephone, once the server has proved its password.  Registrations for the server are passed on
    to it, with a Path that leads back here."""

    folder: Path
    server: int
    """Port of the server."""
    telephone: int = field(default_factory=free_port)
    """Where numbers that the server calls are taken."""
    server_transport: str = "udp"
    telephone_transport: str = "udp"
    algorithm: str = "MD5"
    longest: int = 3600
    """Seconds that it grants a registration at most."""
    port: int = field(default_factory=free_port)
    program: Program | None = None

    async def __aenter__(self) -> Kamailio:
        assert KAMAILIO is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "kamailio.cfg"
        config.write_text(self._filled_in())
        command: list[str | Path] = [KAMAILIO, "-f", config, "-DD", "-E", "-m", "16", "-M", "4"]
        command += ["-Y", self.folder]
        self.program = await Program.start("kamailio", command, self.folder / "kamailio.log")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._listens():
                assert self.program.running, self.words()
                await asyncio.sleep(0.05)
        assert self.program.running, self.words()
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self.program is not None:
            await self.program.stop()
            assert "MALFORMED" not in self.log(), self.log()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def within(self) -> list[str]:
        """What was routed within dialogs: method, transport and source port of each, once however often
        it had to be sent."""
        routed = dict.fromkeys(re.findall(r"WITHIN (\S+ \S+ \S+:\d+) (\S+ \d+)", self.log()))
        return [what for what, _ in routed]

    def log(self) -> str:
        assert self.program is not None
        return self.program.log.read_text("utf-8", "replace")

    def words(self) -> str:
        return self.program.words() if self.program is not None else ""

    def _filled_in(self) -> str:
        values = {
            "port": self.port,
            "modules": next((p for p in _MODULES if Path(p).exists()), _MODULES[0]),
            "server": self.server,
            "server_transport": self.server_transport,
            "telephone": self.telephone,
            "telephone_transport": self.telephone_transport,
            "secret": SECRET,
            "algorithm": self.algorithm,
            "longest": self.longest,
        }
        text = TEMPLATE.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
