"""What rooms, keys heard as tones and taps cost: `python -m tests.benchmarks.media_paths`.

Real RTP on every leg from a process of its own, as in `media.py`; lateness is measured at the far
ends.  Taps end in WebSockets of another process, one JSON message with base64 for each 20 ms."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.media import HEADING, ROOT, VOID_STEAL, Result, build_generator, run


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    mode: str
    legs: int
    talkers: int


CASES = (
    Case("one room of 100, 3 talk", "room100", 100, 3),
    Case("one room of 100, all talk", "room100", 100, 100),
    Case("50 rooms of 4, all talk", "room4", 200, 200),
    Case("100 hear a prompt", "prompt", 100, 100),
    Case("... while keys are listened for", "keys", 100, 100),
)
TAPS = 100


def run_taps(generator: Path, seconds: int) -> tuple[Result, str]:
    order = [sys.executable, "-m", "tests.benchmarks.stream_receiver"]
    receiver = subprocess.Popen(order, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = receiver.stdout.readline().strip()
    result = run(generator, "tap", TAPS, seconds, 1, TAPS, arguments=[port])
    return result, receiver.communicate()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    generator = build_generator()
    results = []
    print(HEADING)
    for case in CASES:
        results.append(run(generator, case.mode, case.legs, given.seconds, 1, case.talkers))
        print(f"{results[-1].line()}   {case.title}", flush=True)
    taps, received = run_taps(generator, given.seconds)
    messages, disordered, late_us = (int(word) for word in received.split())
    print(f"{taps.line()}   {TAPS} taps on WebSockets", flush=True)
    print(f"         {messages} messages, {disordered} out of order, p99 {late_us / 1000:.2f} ms late")
    print("\nper cent of a core per 100 legs; the taps' includes Python, JSON, base64 and the WebSockets")
    return 1 if any(result.steal > VOID_STEAL for result in [*results, taps]) else 0


if __name__ == "__main__":
    sys.exit(main())
