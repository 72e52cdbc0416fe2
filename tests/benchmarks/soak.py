"""Half the load of a media thread for a while: `python -m tests.benchmarks.soak --minutes 30`.

Prompts, bridges (some recorded, in pieces), rooms and calls that are SRTP in the middle, while
others open and close.  Far ends in processes of their own compare what they hear with what they
should.  Fails when a packet was lost or wrong, a recording failed, or memory, descriptors or
threads have grown since the load was up.  Silence that the engine sends in the place of a far end
that was itself late is no fault: far ends count how often they were."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.benchmarks.media import build_generator, line_of, piped, prompt_words, read, tell

CHECKS = {"prompt": "prompt", "bridge": "partner", "room": "sound", "protected": "partner"}
SHARES = {"prompt": 0.5, "bridge": 0.25, "room": 0.15, "protected": 0.1}
WARM_UP_SECONDS = 30
SAMPLE_SECONDS = 10
MOST_GROWTH_KB = 4_000
DESCRIPTORS_ASTRAY = 8
"""Legs that come and go make the count of descriptors waver by a leg or two."""


class Soak:
    def __init__(self, legs: int, seconds: int, threads: int, churn: float, folder: Path) -> None:
        words = folder / "words.ulaw"
        words.write_bytes(prompt_words())
        generator = build_generator()
        sizes = {kind: max(4, round(legs * share / 4) * 4) for kind, share in SHARES.items()}
        self.ends = {
            kind: piped([generator, *map(str, (size, seconds, size, self._check(kind, words)))])
            for kind, size in sizes.items()
        }
        order = [sys.executable, "-m", "tests.benchmarks.soak_server", str(threads), str(words), str(churn)]
        self.server = piped(order)
        remotes = [line_of(end).split() for end in self.ends.values()]
        tell(self.server, " ".join(map(str, sizes.values())) + "\n")
        tell(self.server, " ".join(port for ports in remotes for port in ports) + "\n")
        ports = line_of(self.server).split()
        for end, size in zip(self.ends.values(), sizes.values(), strict=True):
            tell(end, " ".join(ports[:size]) + "\n")
            del ports[:size]

    @staticmethod
    def _check(kind: str, words: Path) -> str:
        return str(words) if CHECKS[kind] == "prompt" else CHECKS[kind]

    def sample(self) -> dict[str, Any]:
        with suppress(BrokenPipeError):
            tell(self.server, "\n")
        assert self.server.stdout is not None
        return self._read("server", self.server, self.server.stdout.readline())

    def finish(self) -> tuple[dict[str, dict[str, int]], dict[str, Any]]:
        """What the far ends of each kind heard, and the server's last word."""
        heard = {kind: self._read(kind, end, end.communicate()[0]) for kind, end in self.ends.items()}
        return heard, self._read("server", self.server, self.server.communicate()[0])

    @staticmethod
    def _read(name: str, process: subprocess.Popen[str], said: str) -> dict[str, Any]:
        """What a process has said; one that says nothing has ended before its time."""
        if not said:
            status = process.wait(10)
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise SystemExit(f"FAILED: {name} has ended {how}")
        sample: dict[str, Any] = json.loads(said)
        return sample


def line(second: float, sample: dict[str, Any]) -> str:
    return (
        f"{second:6.0f} s  {sample['legs']:5} legs  {sample['resident_kb'] / 1000:7.1f} MB  "
        f"{sample['descriptors']:6} descriptors  {sample['threads']:3} threads  {sample['opened']:7} opened  "
        f"{sample['recordings']}  late {sample['late_sends']}  skipped {sample['skipped_sends']}"
        + (f"  no more legs: {sample['trouble']}" if sample["trouble"] else "")
    )


def faults(
    first: dict[str, Any], last: dict[str, Any], heard: dict[str, dict[str, int]], end: dict[str, Any]
) -> list[str]:
    found = [
        f"{kind}: {count[fault]} packets {fault}"
        for kind, count in heard.items()
        for fault in ("lost", "wrong")
        if count[fault]
    ]
    found += [
        f"{kind}: {count[fault]} frames {fault.replace('_', ' ')}, {count['overdue']} were overdue"
        for kind, count in heard.items()
        for fault in ("made_up", "left_out")
        if count[fault] > count["overdue"]
    ]
    found += [f"{kind}: nothing was checked" for kind, count in heard.items() if not count["checked"]]
    counts = ("skipped_sends", "send_errors", "bad_tags", "replays", "duplicates")
    found += [f"{end[name]} {name}" for name in counts if end[name]]
    if end["trouble"]:
        found.append(f"no more legs were opened: {end['trouble']}")
    if set(end["recordings"]) != {"complete"}:
        found.append(f"recordings: {end['recordings']}")
    if (grown := last["resident_kb"] - first["resident_kb"]) > MOST_GROWTH_KB:
        found.append(f"{grown:.0f} kB more memory")
    if (grown := last["descriptors"] - first["descriptors"]) > DESCRIPTORS_ASTRAY:
        found.append(f"{grown} more descriptors")
    if last["threads"] > first["threads"]:
        found.append(f"{last['threads'] - first['threads']} more threads")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--legs", type=int, default=750)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--churn", type=float, default=20, help="legs a second that come and go")
    given = parser.parse_args()
    seconds = max(2 * WARM_UP_SECONDS, round(given.minutes * 60))
    samples: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(given.legs, seconds, given.threads, given.churn, Path(folder))
        before = read(soak.server.pid)
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < seconds - SAMPLE_SECONDS:
            time.sleep(SAMPLE_SECONDS)
            sample = soak.sample()
            print(line(elapsed + SAMPLE_SECONDS, sample), flush=True)
            if elapsed >= WARM_UP_SECONDS:
                samples.append(sample)
        after = read(soak.server.pid)
        heard, end = soak.finish()
    for kind, count in heard.items():
        print(f"{kind:10} {count}")
    busy = (after.process - before.process) / (after.clock - before.clock)
    stolen = (after.steal - before.steal) / (after.machine - before.machine)
    print(f"{busy:.0%} of a core; {stolen:.1%} of the machine's time was stolen from it")
    found = faults(samples[0], samples[-1], heard, end)
    print("ok" if not found else "FAILED: " + "; ".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
