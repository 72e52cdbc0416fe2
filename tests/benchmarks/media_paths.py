"""What rooms, keys heard as tones, taps, opening and closing cost: `python -m tests.benchmarks.media_paths`.

Real RTP on every leg from a process of its own, as in `media.py`; lateness is measured at the far
ends.  Taps end in WebSockets of another process, one JSON message with base64 for each 20 ms."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.media import HEADING, Case, Result, build_generator, line_of, piped, run

CHURN = 500
"""Legs opened and closed a second."""
MOST_MEMORY_KB = 40
CASES = (
    Case("one room of 100, 3 talk", "room100", 100, 3, "sound"),
    Case("one room of 100, all talk", "room100", 100, 100, "sound"),
    Case("50 rooms of 4, all talk", "room4", 200, 200, "sound"),
    Case("a prompt", "prompt", 200, 200, "prompt"),
    Case(f"... while {CHURN} legs/s come and go", "churn", 200, 200, "prompt"),
    Case("... while keys in sound are heard", "keys", 200, 200, "prompt"),
    Case("memory of a leg with a prompt", "memory", 1500, 1500, "prompt"),
)
TAPS = Case("100 taps on WebSockets", "tap", 100, 100, "nothing", 30.0)


def run_taps(generator: Path, seconds: int) -> tuple[Result, str]:
    receiver = piped([sys.executable, "-m", "tests.benchmarks.stream_receiver"])
    port = line_of(receiver).strip()
    result = run(generator, TAPS, seconds, arguments=[port])
    return result, receiver.communicate()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    generator = build_generator()
    results = []
    print(HEADING)
    for case in CASES:
        results.append(run(generator, case, given.seconds))
        print(results[-1].line(), flush=True)
        print_extras(results[-1])
    taps, received = run_taps(generator, given.seconds)
    messages, disordered, late_us = (int(word) for word in received.split())
    print(taps.line())
    print(f"    {messages} messages, {disordered} out of order, p99 {late_us / 1000:.2f} ms late")
    print("\nper cent of a core per 100 legs, opening and closing others included; the taps' with Python,")
    print("JSON, base64 and the WebSockets")
    return 1 if any(result.faults for result in [*results, taps]) else 0


def print_extras(result: Result) -> None:
    """What only some cases measure."""
    served = result.served
    if result.case.mode == "churn":
        print(
            f"    {served['opened']:.0f} legs opened and closed, {served['opened_per_second']:.0f} a second"
        )
    if result.case.mode == "memory":
        print(f"    {served['kb_per_leg']:.1f} kB of resident memory a leg (at most {MOST_MEMORY_KB})")


if __name__ == "__main__":
    sys.exit(main())
