"""What calls cost the whole server: `python -m tests.benchmarks.calls`.

SIPp places the calls, a process of its own receives the audio; processor time is the operating
system's for the server process.  A run with more than 5 % of steal is void and says so."""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web

from tests.benchmarks.hearing import ROOT, Listeners, Spacing, listeners
from tests.benchmarks.processor import Cost, cost_of
from tests.e2e.addresses import free_port
from tests.e2e.documents import Answer, Asked
from tests.e2e.server import Server
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Stage, open_stage
from tests.e2e.tune import write_tune

KEPT_P99_MS = 30.0
KEPT_LATE_SHARE = 0.001
"""Spacing beyond these is not kept any more."""


async def signalling(folder: Path, calls: int, rate: int) -> bool:
    print("signalling: INVITE, 200, ACK, BYE      calls   rate  ms CPU per call  calls/s and core")
    port = free_port()
    core = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.sip_core", str(port)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert core.stdin is not None
    assert core.stdout is not None
    assert await core.stdout.readline(), "the SIP core did not start"
    sipp = Sipp("hangs_up", f"127.0.0.1:{port}", folder / "core", values={"talk_ms": 100})
    alone = await _placed(sipp, core.pid, calls * 2, rate * 2, "the SIP core alone")
    core.stdin.close()
    await core.wait()
    async with served(folder / "signalling") as stage:
        number = stage.number('<Gather timeout="30"/>')
        sipp = Sipp("hangs_up", stage.server.sip, folder / "whole", number=number, values={"talk_ms": 100})
        whole = await _placed(sipp, pid_of(stage), calls, rate, "the whole server, each call metered")
    return alone.void or whole.void


async def _placed(sipp: Sipp, pid: int, calls: int, rate: int, what: str) -> Cost:
    """Twice: what is measured is warm."""
    sipp.calls, sipp.rate, sipp.at_once, sipp.seconds = calls // 5, rate, 1000, 120
    await sipp.run()
    sipp.calls, sipp.folder = calls, sipp.folder.with_name(sipp.folder.name + "-warm")
    with cost_of(pid) as cost:
        await sipp.run()
    each = cost.cpu_seconds / calls
    print(f"  {what:36} {calls:6} {rate:6} {each * 1000:16.2f} {1 / each:17.0f}{cost.verdict()}", flush=True)
    return cost


async def ivr(folder: Path, steps: list[int], seconds: int) -> bool:
    print(
        "\nlegs hearing a prompt   legs  cores  % of a core per 100  packets/s  lost   p50 ms  p99 ms  max ms"
    )
    void = False
    async with served(folder / "ivr") as stage, listeners(max(steps)) as ears:
        number = prompting(stage, folder)
        for legs in steps:
            cost, spacing = await _listened(stage, ears, folder / f"ivr-{legs}", number, legs, seconds)
            per_100 = cost.cores / legs * 10_000
            print(
                f"  {'':21} {spacing.legs:5} {cost.cores:6.2f} {per_100:20.1f} {spacing.rate:10.2f} "
                f"{spacing.lost:5} {spacing.p50_ms:8.2f} {spacing.p99_ms:7.2f} {spacing.max_ms:7.1f}"
                f"{cost.verdict()}",
                flush=True,
            )
            void = void or cost.void
            if spacing.p99_ms > KEPT_P99_MS or spacing.late_share > KEPT_LATE_SHARE:
                print(f"  the spacing of packets is not kept with {legs} legs")
                break
    return void


async def _listened(
    stage: Stage, ears: Listeners, folder: Path, number: str, legs: int, seconds: int
) -> tuple[Cost, Spacing]:
    """Audio and processor of `seconds` in which all `legs` were up."""
    rate = 40
    folder.mkdir(parents=True)
    ports = folder / "ports.csv"
    ports.write_text("SEQUENTIAL\n" + "".join(f"{port}\n" for port in ears.ports[:legs]))
    ramp = legs / rate
    sipp = Sipp(
        "listens_at",
        stage.server.sip,
        folder,
        number=number,
        calls=legs,
        rate=rate,
        at_once=legs,
        seconds=ramp + seconds + 60,
        values={"talk_ms": int((ramp + seconds + 4) * 1000)},
        options=("-inf", str(ports)),
    )
    program = await sipp.start()
    await asyncio.sleep(ramp + 2)
    await ears.report()
    with cost_of(pid_of(stage)) as cost:
        await asyncio.sleep(seconds)
    heard = await ears.report()
    await sipp.finish(program)
    await ears.report()
    return cost, Spacing.of(heard)


async def first_audio(folder: Path, calls: int) -> bool:
    """From when the answer was handed to the socket to the kernel's stamp on the first loud packet."""
    async with served(folder / "first") as stage, listeners(1) as ears:
        stage.documents.on("/voice.wav", audio(folder))
        verbs = {
            "a Play whose audio is cached": "<Play>/voice.wav</Play>",
            "a Say whose words are cached": "<Say>Hello, and welcome to this number.</Say>",
        }
        print(f"\ndocument to first audio, ms of {calls} calls      median     p90     max")
        with cost_of(pid_of(stage)) as cost:
            for what, verb in verbs.items():
                waits = await _waits(stage, ears, folder / what[:6].replace(" ", "-"), verb, calls)
                tenth = waits[len(waits) * 9 // 10]
                print(f"  {what:42} {statistics.median(waits):10.1f} {tenth:7.1f} {waits[-1]:7.1f}")
    print(cost.verdict(), end="")
    return cost.void


async def _waits(stage: Stage, ears: Listeners, folder: Path, verb: str, calls: int) -> list[float]:
    """Milliseconds, in ascending order; the first call fills the caches and does not count."""
    handed: list[int] = []

    def answer(_: Asked) -> str:
        handed.append(time.time_ns())
        return verb

    number = stage.number(answer)
    folder.mkdir(parents=True)
    ports = folder / "ports.csv"
    ports.write_text(f"SEQUENTIAL\n{ears.ports[0]}\n")
    waits = []
    for call in range(calls + 1):
        run = folder / str(call)
        sipp = Sipp("listens_at", stage.server.sip, run, number=number, options=("-inf", str(ports)))
        sipp.values = {"talk_ms": 600}
        await sipp.run()
        (leg,) = await ears.report()
        waits.append((leg.loud_ns - handed[-1]) / 1e6)
    return sorted(waits[1:])


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Stage]:
    async with open_stage(folder) as stage:
        yield stage


def prompting(stage: Stage, folder: Path) -> str:
    stage.documents.on("/voice.wav", audio(folder))
    return stage.number('<Play loop="0">/voice.wav</Play>')


def audio(folder: Path) -> Answer:
    body = write_tune(folder / "voice.wav", 1, 10_000).read_bytes()
    return lambda _: web.Response(body=body, content_type="audio/wav")


def pid_of(stage: Stage) -> int:
    assert stage.server.program is not None
    return stage.server.program.pid


async def measure(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="callrouter-bench-") as name:
        folder = Path(name)
        void = await signalling(folder, given.calls, given.rate)
        void |= await ivr(folder, given.legs, given.seconds)
        void |= await first_audio(folder, given.first)
    return 1 if void else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--legs", type=int, nargs="*", default=[50, 100, 200, 300])
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--first", type=int, default=20)
    if SIPP is None:
        print("SIPp is not installed (Debian: sip-tester); nothing about calls was measured")
        return 0
    given = parser.parse_args()
    Server.log_level = "info"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return asyncio.run(measure(given))


if __name__ == "__main__":
    sys.exit(main())
