"""SIPp, the field's test caller, driven by the scenarios beside this file."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.addresses import free_port, is_taken
from tests.e2e.process import Program
from tests.patience import until

SCENARIOS = Path(__file__).with_name("scenarios")
SIPP = shutil.which("sipp")


@dataclass(slots=True)
class Sipp:
    """A run of a scenario against `server` (`host:port`)."""

    scenario: str
    """Name of a file in `scenarios/`, without `.xml`."""
    server: str
    folder: Path
    number: str = "+15550100"
    calls: int = 1
    rate: int = 10
    at_once: int = 100
    transport: str = "u1"
    seconds: float = 60
    values: Mapping[str, object] = field(default_factory=dict)
    """What stands for `@name@` in the scenario."""
    headers: tuple[str, ...] = ()
    """Further lines of its INVITE, where the scenario has `@headers@`."""
    options: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    program: Program | None = None

    async def start(self) -> Program:
        """Begin in the background; what is sent to it from now on is seen."""
        assert SIPP is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        scenario = self._filled_in()
        command: list[str | Path] = [
            *(SIPP, self.server, "-sf", scenario, "-s", self.number),
            *("-i", self.host, "-mi", self.host, "-p", str(self.port), "-mp", str(free_port())),
            *("-t", self.transport, "-m", str(self.calls), "-r", str(self.rate), "-l", str(self.at_once)),
            *("-timeout", str(int(self.seconds)), "-timeout_error", "-nostdin", "-nd"),
            *("-trace_err", "-error_file", self.folder / "errors.log"),
            *("-trace_msg", "-message_file", self.folder / "messages.log"),
            *("-trace_stat", "-stf", self.folder / "statistics.csv", "-fd", "1"),
            *self.options,
        ]
        self.program = program = await Program.start(
            f"sipp {self.scenario}", command, self.folder / "sipp.log", cwd=self.folder
        )
        if self.transport == "u1":
            await until(lambda: not program.running or is_taken(self.port))
        return program

    async def run(self) -> None:
        """Run to the end; a call that did not follow the scenario fails the test with the reason."""
        program = await self.start()
        await self.finish(program)

    async def finish(self, program: Program) -> None:
        status = await program.finish(self.seconds + 10)
        assert status == 0, f"SIPp ended with {status}\n{self._errors()}\n{self.messages()[-6000:]}"

    def _filled_in(self) -> Path:
        text = (SCENARIOS / f"{self.scenario}.xml").read_text()
        headers = "".join(f"\n      {line}" for line in self.headers)
        for name, value in {"headers": headers, **self.values}.items():
            text = text.replace(f"@{name}@", str(value))
        missing = re.findall(r"@(\w+)@", text)
        assert not missing, f"{self.scenario} also wants values for {missing}"
        path = self.folder / f"{self.scenario}.xml"
        path.write_text(text)
        return path

    def messages(self) -> str:
        """Every SIP message of the run."""
        path = self.folder / "messages.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def statistics(self) -> dict[str, str]:
        """The last line of SIPp's statistics, by column name."""
        with (self.folder / "statistics.csv").open() as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        return rows[-1]

    def _errors(self) -> str:
        path = self.folder / "errors.log"
        return path.read_text("utf-8", "replace")[-4000:] if path.exists() else "no error was logged"
