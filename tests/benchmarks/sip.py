"""What a call costs the SIP core alone and the whole server, and what a flood does to both:
`make bench-sip`.

SIPp, and for floods `load.py`, call from the same machine; core and server run in processes of their
own on uvloop, whose processor time is the operating system's.  A run with more than 5 % of steal is
void and says so.  `--calls`, `--core-rate` and `--server-rate` change the runs."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import server_calls
from tests.benchmarks.flood import flood, load
from tests.benchmarks.hearing import ROOT
from tests.benchmarks.processor import Cost, cost_of
from tests.e2e.addresses import free_port
from tests.e2e.sipp import SIPP


@dataclass(frozen=True, slots=True)
class Core:
    pid: int
    port: int


@asynccontextmanager
async def core(*more: str) -> AsyncIterator[Core]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.sip_core", str(port), *more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline(), "the SIP core did not start"
    try:
        yield Core(process.pid, port)
    finally:
        process.stdin.close()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Run:
    good: int
    failed: int
    seconds: float


async def sipp(folder: Path, name: str, *options: str, seconds: float = 120) -> Run:
    """SIPp's own scenario `name`, to its end; what came of its calls."""
    assert SIPP is not None, "SIPp is not installed"
    statistics = folder / f"statistics-{free_port()}.csv"
    process = await asyncio.create_subprocess_exec(
        *(SIPP, "-sn", name, "-i", "127.0.0.1", "-nostdin", "-nd", *options),
        *("-timeout", str(int(seconds)), "-trace_stat", "-stf", str(statistics), "-fd", "1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        await asyncio.wait_for(process.wait(), seconds + 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    head, *rows = [line.split(";") for line in statistics.read_text().splitlines()]
    last = dict(zip(head, rows[-1], strict=False))
    hours, minutes, rest = last["ElapsedTime(C)"].split(":")[:3]
    elapsed = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    return Run(int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]), elapsed)


def report(what: str, calls: int, rate: int, run: Run, cost: Cost) -> bool:
    each = cost.cpu_seconds / max(1, calls)
    print(
        f"{what:34} {calls:7} {rate:6} {run.failed:7} {each * 1000:12.3f} {1 / max(each, 1e-9):10.0f}"
        f"{cost.verdict()}",
        flush=True,
    )
    return cost.void


async def callee(folder: Path, calls: int, rate: int) -> bool:
    """INVITE, 200, ACK, BYE, 200."""
    async with core() as ours:
        target = f"127.0.0.1:{ours.port}"
        await sipp(folder, "uac", target, "-m", str(calls // 5), "-r", str(rate), "-d", "20")
        with cost_of(ours.pid) as cost:
            run = await sipp(folder, "uac", target, "-m", str(calls), "-r", str(rate), "-d", "20")
        return report("callee", calls, rate, run, cost)


async def bridge(folder: Path, calls: int, rate: int) -> bool:
    """The same on both sides of a call in and a call out."""
    port = free_port()
    answering = asyncio.create_task(sipp(folder, "uas", "-p", str(port), "-m", str(calls + calls // 5)))
    await asyncio.sleep(1)  # SIPp does not say when it is ready
    async with core(f"sip:bob@127.0.0.1:{port}") as ours:
        target = f"127.0.0.1:{ours.port}"
        await sipp(folder, "uac", target, "-m", str(calls // 5), "-r", str(rate), "-d", "20")
        with cost_of(ours.pid) as cost:
            run = await sipp(folder, "uac", target, "-m", str(calls), "-r", str(rate), "-d", "20")
        void = report("caller and callee of two legs", calls, rate, run, cost)
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    return void


async def steady(rate: int) -> bool:
    """So many calls a second for a while, without a failure."""
    async with core() as ours:
        await load(ours.port, "bob", 0.1, (rate / 3, 2))
        with cost_of(ours.pid) as cost:
            (phase,) = await load(ours.port, "bob", 0.1, (rate, 8))
    print(
        f"{'callee, as fast as asked':34} {phase.offered:7} {rate:6} {phase.offered - phase.completed:7} "
        f"{cost.cpu_seconds / max(1, phase.offered) * 1000:12.3f}   {cost.cores:.0%} of a core"
        f"{cost.verdict()}",
        flush=True,
    )
    return cost.void or phase.completed < phase.offered


async def flood_core(rate: int) -> bool:
    async with core() as ours:
        with cost_of(ours.pid) as cost:
            flooded = await flood(ours.pid, ours.port, "bob", 0.1, rate)
    print(flooded.told("the SIP core alone") + cost.verdict(), flush=True)
    return cost.void


async def flood_server(folder: Path, rate: int) -> bool:
    """Callers hear a document that waits for keys, and hang up themselves."""
    document = '<Response><Gather timeout="60"/></Response>'
    with server_calls.served(folder, document) as (pid, sip), cost_of(pid) as cost:
        flooded = await flood(pid, sip, server_calls.NUMBER, 0.2, rate)
    print(flooded.told("the whole server") + cost.verdict(), flush=True)
    return cost.void


def whole_server(rate: int, calls: int, *more: str) -> bool:
    order = [sys.executable, "-m", "tests.benchmarks.server_calls", "--rate", str(rate)]
    return subprocess.run([*order, "--calls", str(calls), *more], cwd=ROOT, check=False).returncode != 0


async def measure(given: argparse.Namespace) -> int:
    print("The SIP core alone                   calls   rate  failed  ms CPU/call  per core")
    with tempfile.TemporaryDirectory(prefix="callrouter-bench-") as name:
        folder = Path(name)
        void = await callee(folder, given.calls, given.core_rate * 2 // 3)
        void |= await bridge(folder, given.calls // 2, given.core_rate // 3)
        void |= await steady(given.core_rate)
        print("\nThe whole server, its document fetched", flush=True)
        void |= whole_server(given.server_rate, given.calls)
        print("The whole server, its document at hand", flush=True)
        void |= whole_server(given.server_rate, given.calls, "--no-fetch")
        print("\nINVITE at ten times what is carried", flush=True)
        void |= await flood_core(given.core_rate)
        void |= await flood_server(folder, given.server_rate)
    return 1 if void else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sip", description=__doc__)
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--core-rate", type=int, default=1500, help="calls a second, the core alone")
    parser.add_argument("--server-rate", type=int, default=500, help="calls a second, the whole server")
    return asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
