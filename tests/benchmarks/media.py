"""What the RTP engine costs, measured from outside: `python -m tests.benchmarks.media`.

A load generator in a process of its own sends and receives real RTP on every leg; the processor
time is the operating system's for the server process, kernel included.  `--seconds`, `--legs` and
`--threads` change the runs.  A run with more than 5 % of steal is void and says so."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CRATE = ROOT / "callrouter/media/engine"
VOID_STEAL = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds: of the clock, of one process, of all processors, stolen from them."""

    clock: float
    process: float
    machine: float
    steal: float


@dataclass(frozen=True, slots=True)
class Result:
    mode: str
    legs: int
    cpu_per_100: float
    """Per cent of a core per 100 legs that hear a prompt, or per 100 bridged calls."""
    steal: float
    heard: dict[str, int]
    late_sends: int
    skipped_sends: int
    digits: int

    def line(self) -> str:
        heard = self.heard
        void = f"  VOID: {self.steal:.0%} of the processor stolen" if self.steal > VOID_STEAL else ""
        return (
            f"{self.mode:8} {self.legs:6} {self.cpu_per_100:9.2f} {heard['packets']:9} {heard['lost']:6} "
            f"{heard['p50_us'] / 1000:7.2f} {heard['p99_us'] / 1000:7.2f} {heard['max_us'] / 1000:7.2f} "
            f"{self.late_sends:6} {self.digits:7}{void}"
        )


HEADING = "mode       legs  %/100 up   packets   lost  p50 ms  p99 ms  max ms   late    keys"


def read(pid: int) -> Reading:
    tick = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    total = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    process = (int(fields[11]) + int(fields[12])) / tick
    return Reading(time.monotonic(), process, sum(total[:8]) / tick, total[7] / tick)


def build_generator() -> Path:
    order = ["cargo", "build", "--release", "--no-default-features", "--example", "rtp_load", "--quiet"]
    subprocess.run(order, cwd=CRATE, check=True)
    return CRATE / "target/release/examples/rtp_load"


def run(
    generator: Path,
    mode: str,
    legs: int,
    seconds: int,
    threads: int,
    talkers: int | None = None,
    arguments: Sequence[str] = (),
) -> Result:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sizes = [legs, seconds] if talkers is None else [legs, seconds, talkers]
    load = subprocess.Popen([generator, *map(str, sizes)], **pipes)
    order = [sys.executable, "-m", "tests.benchmarks.media_server", mode, str(threads), *arguments]
    server = subprocess.Popen(order, cwd=ROOT, **pipes)
    server.stdin.write(load.stdout.readline())
    server.stdin.flush()
    ports = server.stdout.readline()
    load.stdin.write(ports)
    load.stdin.flush()
    time.sleep(1.0)
    before = read(server.pid)
    heard = json.loads(load.communicate()[0])
    after = read(server.pid)
    late, skipped, digits = (int(word) for word in server.communicate()[0].split())
    units = legs / 2 if mode == "bridge" else legs
    busy = (after.process - before.process) / (after.clock - before.clock)
    steal = (after.steal - before.steal) / (after.machine - before.machine)
    return Result(mode, legs, busy * 100 / units * 100, steal, heard, late, skipped, digits)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--legs", type=int, nargs="*", default=[100, 500, 1500])
    parser.add_argument("--modes", nargs="*", default=["prompt", "bridge"], choices=["prompt", "bridge"])
    given = parser.parse_args()
    generator = build_generator()
    print(HEADING)
    results = []
    for mode in given.modes:
        for legs in given.legs:
            results.append(run(generator, mode, legs, given.seconds, given.threads))
            print(results[-1].line(), flush=True)
    print("\nper cent of a core per 100 legs hearing a prompt, or per 100 bridged calls (200 legs);")
    print("reference points on such cores: Asterisk 22 and 26, FreeSWITCH 23-28 and 40-50,")
    print("rtpengine 6.5 per 100 bridged, a bare socket loop in C 2.0-2.6 and 4.6")
    return 1 if any(result.steal > VOID_STEAL for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
