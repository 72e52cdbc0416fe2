"""What the RTP engine costs, measured from outside: `python -m tests.benchmarks.media`.

A load generator in a process of its own sends and receives real RTP on every leg, and compares
every frame it hears, octet by octet, with what it should: the prompt's, or what the other party
said.  Keys that were pressed and keys that were heard have to be as many.  The processor time is the
operating system's for the server process, kernel included.  `--seconds`, `--legs` and `--threads`
change the runs.  A run with more than 5 % of steal is void and says so."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
class Case:
    """What is run, and what it may cost at most."""

    title: str
    mode: str
    """As `media_server.py` names it."""
    legs: int
    talkers: int
    check: str
    """What every leg has to hear, as the load generator names it; `prompt`: our prompt."""
    most_cpu: float | None = None
    """Per cent of a core per 100 legs that hear a prompt, or per 100 bridged calls."""
    most_p99_ms: float = 5.0
    far: str = "plain"
    """What the far ends are: telephones', or browsers' with `pcmu` or `opus`."""


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    cpu_per_100: float
    steal: float
    heard: dict[str, int]
    served: dict[str, float]
    """What the server counted."""

    @property
    def faults(self) -> list[str]:
        """Why the run proves nothing good."""
        heard, served = self.heard, self.served
        found = {
            f"VOID: {self.steal:.0%} of the processor stolen": self.steal > VOID_STEAL,
            f"{heard['lost']} packets LOST": heard["lost"],
            f"{heard['wrong']} frames WRONG": heard["wrong"],
            f"{heard['made_up']} frames MADE UP": heard["made_up"] > heard["overdue"],
            f"{heard['left_out']} frames LEFT OUT": heard["left_out"] > heard["overdue"],
            "nothing CHECKED": self.case.check != "nothing" and not heard["checked"],
            f"{served['skipped_sends']} sends SKIPPED": served["skipped_sends"],
            f"{served['digits']} KEYS heard": served["digits"] != heard["keys"] and self.case.mode != "keys",
        }
        return [fault for fault, is_there in found.items() if is_there]

    @property
    def excesses(self) -> list[str]:
        case = self.case
        found = {
            f"p99 over {case.most_p99_ms:.0f} ms": self.heard["p99_us"] > case.most_p99_ms * 1000,
            f"over {case.most_cpu} %": case.most_cpu is not None and self.cpu_per_100 > case.most_cpu,
        }
        return [excess for excess, is_there in found.items() if is_there]

    def line(self) -> str:
        heard = self.heard
        verdict = "; ".join([*self.faults, *self.excesses]) or "ok"
        return (
            f"{self.case.title:32} {self.case.legs:5} {self.cpu_per_100:7.2f} {heard['packets']:8} "
            f"{heard['checked']:8} {heard['keys']:6} {heard['p50_us'] / 1000:7.2f} "
            f"{heard['p99_us'] / 1000:7.2f} {heard['max_us'] / 1000:7.2f}  {verdict}"
        )


HEADING = (
    "case                              legs   %/100  packets   exact   keys  p50 ms  p99 ms  max ms  verdict"
)


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


def introduce(load: subprocess.Popen[str], server: subprocess.Popen[str], far: str) -> None:
    """Tell each where the other is, and wait for the handshakes that follow."""
    pass_line(load, server)
    pass_line(server, load)
    if far != "plain":
        line_of(load)


def piped(order: Sequence[str | Path]) -> subprocess.Popen[str]:
    """A process in this repository's folder that is written to and read from by lines."""
    pipe = subprocess.PIPE
    return subprocess.Popen(order, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line it says; `RuntimeError` where it has ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} has ended")
    return line


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def pass_line(of: subprocess.Popen[str], to: subprocess.Popen[str]) -> None:
    tell(to, line_of(of))


def run(
    generator: Path,
    case: Case,
    seconds: int,
    *,
    threads: int = 1,
    arguments: Sequence[str] = (),
    meanwhile: Callable[[subprocess.Popen[str]], None] | None = None,
) -> Result:
    """`meanwhile` is given the server while it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "prompt.ulaw"
        words.write_bytes(prompt_words())
        check = str(words) if case.check == "prompt" else case.check
        given = (case.legs, seconds, case.talkers, check, case.far)
        load = piped([generator, *map(str, given)])
        order = [sys.executable, "-m", "tests.benchmarks.media_server", case.mode, str(threads), str(words)]
        server = piped([*order, case.far, *arguments])
        introduce(load, server, case.far)
        time.sleep(1.0)
        before = read(server.pid)
        if meanwhile is not None:
            meanwhile(server)
        heard = json.loads(load.communicate()[0])
        after = read(server.pid)
        served = json.loads(server.communicate()[0])
    units = case.legs / 2 if case.mode == "bridge" else case.legs
    busy = (after.process - before.process) / (after.clock - before.clock)
    steal = (after.steal - before.steal) / (after.machine - before.machine)
    return Result(case, busy * 100 / units * 100, steal, heard, served)


def prompt_words() -> bytes:
    """Ten seconds of noise in μ-law, every word of which is heard again as it is:
    of the two zeros one only."""
    chance = random.Random(7)
    return bytes(chance.choice(range(1, 127)) | chance.choice((0, 128)) for _ in range(80_000))


def prompt(legs: int) -> Case:
    return Case("a prompt out, audio and keys in", "prompt", legs, legs, "prompt", 3.0)


def bridge(legs: int) -> Case:
    return Case("relayed, two legs a call", "bridge", legs, legs, "partner", 6.0)


CASES = {"prompt": prompt, "bridge": bridge}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--legs", type=int, nargs="*", default=[100, 500, 1500])
    parser.add_argument("--modes", nargs="*", default=list(CASES), choices=list(CASES))
    given = parser.parse_args()
    generator = build_generator()
    print(HEADING)
    results = []
    for mode in given.modes:
        for legs in given.legs:
            results.append(run(generator, CASES[mode](legs), given.seconds, threads=given.threads))
            print(results[-1].line(), flush=True)
    print("\nper cent of a core per 100 legs hearing a prompt (at most 3.0, to be reached 2.2),")
    print("or per 100 bridged calls of two legs (at most 6, to be reached 5);")
    print("reference points on such cores: Asterisk 22 and 26, FreeSWITCH 23-28 and 40-50,")
    print("rtpengine 6.5 per 100 bridged, a bare socket loop in C 2.0-2.6 and 4.6")
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
