"""Coverage-guided fuzzing of everything that reads what strangers send (`make fuzz`).

`python -m tests.fuzz [TARGET…] [--seconds N]` runs each target in a process of its own.  What is new
goes to `build/fuzz/TARGET`, a crash to `tests/data/fuzz/TARGET/crash-…`: fix what it shows, commit it,
and a test keeps it fixed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/data/fuzz"
SEEDS = {
    "message": [ROOT / "tests/data/rfc4475", ROOT / "tests/data/rfc5118"],
    "framer": [ROOT / "tests/data/rfc4475"],
}
MOST_BYTES = 8192


def fuzz(target: str, seconds: int) -> bool:
    """True when nothing was found."""
    found = ROOT / "build/fuzz" / target
    found.mkdir(parents=True, exist_ok=True)
    own = CORPUS / target
    own.mkdir(parents=True, exist_ok=True)
    special, general = CORPUS / f"{target}.dict", CORPUS / "message.dict"
    dictionary = special if special.exists() else general
    options = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-artifact_prefix={own}/"]
    options += ["-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1"]
    options.append(f"-dict={dictionary}")
    folders = [found, own, *SEEDS.get(target, [])]
    command = [sys.executable, "-m", "tests.fuzz.one", target, *options, *map(str, folders)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all of them")
    parser.add_argument("--seconds", type=int, default=150, help="for each target")
    options = parser.parse_args()
    failed = [name for name in options.targets or TARGETS if not fuzz(name, options.seconds)]
    if failed:
        print(f"found something: {', '.join(failed)}; see tests/data/fuzz", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
