"""What the tests of SIP do for some seconds, for as long as is wanted (`make trials`).

`mutations` breaks the torture messages in ever new ways.  `loss` places calls over a network that loses,
doubles and reorders 1, 5 and 20 % of everything, and holds the books to what happened.  Both say the
seed with which to see the same again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.stage import open_stage
from tests.e2e.test_e2e_lossy import MONEY, assert_nothing_doubled, bridged, spoken_to
from tests.protocol.mutations import mutants
from tests.protocol.test_sip_mutations import read_alike, undisturbed


def mutations(seconds: int, seed: int) -> bool:
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        for name, data in mutants(seed, 10):
            try:
                undisturbed(data)
                read_alike(data)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
                print(f"{name}: {error!r}\n{data!r}")
                return False
            count += 1
        seed += 1
    print(f"{count} mutants, none upset the core or was read differently from a stream")
    return True


async def loss(calls: int, seed: int) -> bool:
    good = True
    for rate in (0.01, 0.05, 0.20):
        with tempfile.TemporaryDirectory() as folder:
            async with open_stage(Path(folder), **MONEY) as stage:
                order: dict[str, Any] = {"rate": rate, "seed": seed, "calls": calls, "per_second": 20}
                outcomes = await asyncio.gather(
                    bridged(stage, Path(folder) / "bridged", **order),
                    spoken_to(stage, Path(folder) / "spoken", **order),
                )
                assert_nothing_doubled(stage)
        for name, outcome in zip(("bridged", "spoken to"), outcomes, strict=True):
            lost = calls - outcome.placed
            print(f"{rate:4.0%} {name}: {calls} calls, {lost} lost, none doubled ({outcome.network})")
            good = good and (rate > 0.05 or not lost) and outcome.calls <= calls
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["mutations", "loss", []], help="default: both")
    parser.add_argument("--seconds", type=int, default=120, help="of mutations")
    parser.add_argument("--calls", type=int, default=200, help="for each rate and direction")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    what = options.what or ["mutations", "loss"]
    print(f"seed {options.seed}")
    good = "mutations" not in what or mutations(options.seconds, options.seed)
    good = ("loss" not in what or asyncio.run(loss(options.calls, options.seed))) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
