"""What legs to browsers cost: `python -m tests.benchmarks.media_browser`.

The far ends check the path, shake hands (DTLS) and seal what they say (SRTP), as browsers do, in a
process of their own with the engine's code, which is light; that browsers understand the engine is for
the tests with aiortc and libwebrtc.  Opus is decoded and encoded by the engine on every leg.
Last, many browsers begin their calls at once beside a thread's worth of telephones."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.benchmarks.media import HEADING, Case, build_generator, introduce, piped, run

SIZES = (100, 300)
OTHERS = 500
ARRIVALS = 200
"""Browsers whose handshakes come at once while as many others are served."""


def cases(legs: int) -> tuple[Case, ...]:
    return (
        Case("a prompt, telephones", "prompt", legs, legs, "prompt"),
        Case("a prompt, browsers, PCMU", "prompt", legs, legs, "prompt", far="pcmu"),
        Case("relayed, browsers, PCMU", "bridge", legs, legs, "partner", far="pcmu"),
    )


OPUS = Case("a prompt, browsers, Opus", "prompt", 100, 100, "coded", far="opus")
"""A thread has no time for three times as many."""


def arrive(generator: Path, server: subprocess.Popen[str]) -> None:
    """That many browsers come, stay for a second, and fall silent."""
    load = piped([generator, str(ARRIVALS), "1", "0", "nothing", "pcmu"])
    introduce(load, server, "pcmu")
    print(f"    {ARRIVALS} handshakes in {json.loads(load.communicate()[0])['handshakes_ms']} ms")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--legs", type=int, nargs="*", default=SIZES)
    given = parser.parse_args()
    generator = build_generator()
    print(HEADING)
    results = []
    for case in (*(case for legs in given.legs for case in cases(legs)), OPUS):
        results.append(run(generator, case, given.seconds, threads=given.threads))
        print(results[-1].line())
        handshakes = results[-1].heard["handshakes_ms"]
        if handshakes:
            print(f"    {case.legs} handshakes at once in {handshakes} ms, both ends on this machine")
        sys.stdout.flush()
    others = Case(f"a prompt, {ARRIVALS} browsers come", "prompt", OTHERS, OTHERS, "prompt")
    results.append(
        run(generator, others, given.seconds, threads=given.threads, meanwhile=partial(arrive, generator))
    )
    print(results[-1].line(), flush=True)
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
