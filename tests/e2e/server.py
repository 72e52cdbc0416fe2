"""The real server in a process of its own, with a configuration and a data folder of its own."""

from __future__ import annotations

import asyncio
import base64
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import yaml

from tests.e2e.addresses import free_port
from tests.e2e.process import Program
from tests.patience import PATIENCE_SECONDS

ACCOUNT = "ACe2ee2ee2ee2ee2ee2ee2ee2ee2ee2ee2"
TOKEN = "token-of-the-end-to-end-tests"
COMMAND = Path(sys.executable).with_name("callrouter")


class Server:
    """`state` is the declared part of config.yaml; everything else is chosen here."""

    log_level: ClassVar[str] = "debug"
    """Benchmarks want what an operator runs."""

    def __init__(
        self,
        folder: Path,
        state: dict[str, Any],
        *,
        account: str = ACCOUNT,
        token: str = TOKEN,
        **settings: dict[str, Any],
    ) -> None:
        self.account = account
        self.folder = folder
        self.sip_port = free_port()
        self.api_port = free_port()
        self.program: Program | None = None
        self._rtp = (self.sip_port - 11_000) // 2 * 2
        self._token = token
        self._state = state
        self._settings = settings
        self._http: aiohttp.ClientSession | None = None

    @property
    def sip(self) -> str:
        return f"127.0.0.1:{self.sip_port}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    async def __aenter__(self) -> Server:
        await asyncio.to_thread(self._write_config)
        login = base64.b64encode(f"{self.account}:{self._token}".encode()).decode()
        self._http = aiohttp.ClientSession(self.api, headers={"Authorization": f"Basic {login}"})
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._http is not None:
            await self._http.close()
        if self.program is not None:
            await self.program.stop()

    async def start(self) -> None:
        """Start (again) and wait until calls may come."""
        command: list[str | Path] = [COMMAND, "run", "--config", self.folder / "config.yaml"]
        command += ["--log-level", self.log_level]
        self.program = await Program.start("callrouter", command, self.folder / "server.log")
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            while not await self.is_ready():
                assert self.program.running, self.program.words()
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        assert self.program is not None
        return await self.program.stop()

    async def kill(self) -> None:
        assert self.program is not None
        await self.program.kill()

    async def get(self, path: str, **parameters: str) -> Any:
        """JSON of a GET to the server's HTTP interface."""
        assert self._http is not None
        async with self._http.get(path, params=parameters) as response:
            assert response.status == 200, f"{path}: {response.status} {await response.text()}"
            return await response.json()

    async def text(self, path: str) -> str:
        assert self._http is not None
        async with self._http.get(path) as response:
            assert response.status == 200, f"{path}: {response.status}"
            return await response.text()

    async def figure(self, name: str, *, unless_there: float | None = None) -> float:
        """A metric by its name and labels, as they are written; it must be there, or is `unless_there`."""
        for line in (await self.text("/metrics")).splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        assert unless_there is not None, f"{name} is not among the metrics"
        return unless_there

    async def bytes(self, path: str) -> bytes:
        assert self._http is not None
        async with self._http.get(path) as response:
            assert response.status == 200, f"{path}: {response.status}"
            return await response.read()

    async def calls(self, **parameters: str) -> list[dict[str, Any]]:
        """The account's calls, newest first."""
        page = await self.get(
            f"/2010-04-01/Accounts/{self.account}/Calls.json", PageSize="1000", **parameters
        )
        found: list[dict[str, Any]] = page["calls"]
        return found

    async def session(self, sid: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """A session once it has ended (or as it is when the time is up)."""
        session: dict[str, Any] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not settled(session):
                    session = await self.get(f"/v1/sessions/{sid}")
                    await asyncio.sleep(0.1)
        return session

    async def last_session(self, **parameters: str) -> dict[str, Any]:
        """The session of the newest inbound call."""
        inbound = [call for call in await self.calls(**parameters) if call["direction"] == "inbound"]
        assert inbound, "no call has come in"
        return await self.session(inbound[0]["sid"])

    def words(self) -> str:
        return self.program.words(80) if self.program is not None else ""

    async def is_ready(self) -> bool:
        """Whether it takes calls."""
        assert self._http is not None
        try:
            async with self._http.get("/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _write_config(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = [{"host": "127.0.0.1", "port": self.sip_port, "transport": t} for t in ("udp", "tcp")]
        chosen: dict[str, dict[str, Any]] = {
            "sip": {"listen": listen},
            "api": {"host": "127.0.0.1", "port": self.api_port},
            "media": {"first_port": self._rtp, "last_port": self._rtp + 1999, "port_quarantine_seconds": 0},
            "speech": {"cache_dir": str(Path(__file__).parents[2] / "var/test-speech")},
            "fetch": {},
            "calls": {"drain_seconds": 1},
            "storage": {"data_directory": "data"},
        }
        for name, section in self._settings.items():
            chosen.setdefault(name, {}).update(section)
        text = yaml.safe_dump({**chosen, **self._state}, sort_keys=False, allow_unicode=True)
        (self.folder / "config.yaml").write_text(text)


def settled(session: dict[str, Any]) -> bool:
    """Over, and every interval of it in the database: calls and intervals arrive there separately."""
    intervals = [interval for call in session.get("calls", ()) for interval in call["intervals"]]
    return session.get("status") == "ended" and not any(interval["running"] for interval in intervals)


def one_application(
    url: str, *, number: str = "+15550100", funds: str = "postpaid", **address: str
) -> dict[str, Any]:
    """The smallest state: one account whose number runs the documents at `url`."""
    return {
        "accounts": {"tester": {"sid": ACCOUNT, "token": TOKEN, "funds": funds, "billing_number": number}},
        "addresses": {number: {"account": "tester", "target": url, **address}},
    }
