"""What a call costs the whole server, thread by thread:

    python -m tests.benchmarks.server_calls [--rate 200] [--calls 2000] [--no-fetch] [--beside FOLDER]

SIPp places calls to a number whose document, fetched over HTTP with a kept connection, lets it ring
for a second, answers and hangs up: number look-up, policy, three durable intervals, a charge and its
ledger entries, four SIP transactions.  Processor time is what the kernel scheduled each thread for.
With `--no-fetch` the document is at hand instead, which leaves what the server itself costs.
A run with more than 5 % of steal is void and says so.

`--beside` another checkout of the sources (its engine built) calls both servers by turns and tells what
a call costs here by what it costs there, which holds on a machine with neighbours too.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median

from tests.benchmarks.media import VOID_STEAL, read
from tests.e2e.addresses import free_port

ROOT = Path(__file__).parents[2]
SCENARIO = Path(__file__).with_name("hung_up_on.xml")
DOCUMENT = '<Response><Pause length="1"/><Hangup/></Response>'
NUMBER = "+15550101"
TURNS = 8
WARM_UP = 5
"""The first of so many parts of the calls is not measured."""
GROUPS = {"database-write": "database writer", "journal": "journal", "media": "media"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=200, help="calls a second")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--no-fetch", action="store_true", help="the document needs no HTTP")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="compare with the sources there")
    given = parser.parse_args()
    if shutil.which("sipp") is None:
        print("SIPp is not installed (Debian: sip-tester); nothing about calls was measured")
        return 0
    with tempfile.TemporaryDirectory(prefix="callrouter-bench-") as name:
        folder = Path(name)
        if given.beside is not None:
            return compared(folder, given)
        with served(folder, DOCUMENT, fetches=not given.no_fetch) as (pid, sip):
            place(folder, sip, given.calls // WARM_UP, given.rate)
            return measured(folder, pid, sip, given)


def compared(folder: Path, given: argparse.Namespace) -> int:
    """The cost of a call here and there, each the median of so many turns, and that of their ratios."""
    roots = {"here": ROOT, "there": given.beside.resolve()}
    costs: dict[str, list[float]] = {where: [] for where in roots}
    failures = 0
    with ExitStack() as stack:
        servers = {}
        for where, root in roots.items():
            (folder / where).mkdir()
            server = served(folder / where, DOCUMENT, fetches=not given.no_fetch, root=root)
            servers[where] = stack.enter_context(server)
        for turn in range(TURNS + 1):
            for where, (pid, sip) in servers.items():
                before = thread_times(pid)
                _, failed, _ = place(folder, sip, given.calls // TURNS, given.rate)
                spent = (thread_times(pid) - before).total() / (given.calls // TURNS) / 1e6
                if turn:  # the first warms up
                    costs[where].append(spent)
                    failures += failed
    ratios = [here / there for here, there in zip(costs["here"], costs["there"], strict=True)]
    for where, each in costs.items():
        print(f"ms of CPU per call {where}: {median(each):.2f}")
    print(f"ratio: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {failures} failed")
    return 1 if failures else 0


def measured(folder: Path, pid: int, sip: int, given: argparse.Namespace) -> int:
    refused_before = refused(folder)
    before, threads_before = read(pid), thread_times(pid)
    successful, failed, seconds = place(folder, sip, given.calls, given.rate)
    after, threads_after = read(pid), thread_times(pid)
    spent = threads_after - threads_before
    failed += refused(folder) - refused_before
    steal = (after.steal - before.steal) / (after.machine - before.machine)
    void = f"   VOID: {steal:.0%} of the processor stolen" if steal > VOID_STEAL else ""
    print(f"calls a second: {given.rate} offered, {successful / seconds:.0f} achieved; {failed} failed{void}")
    print(f"ms of CPU per call: {spent.total() / given.calls / 1e6:.2f}")
    for group, nanoseconds in spent.most_common():
        print(f"  {group:16} {nanoseconds / given.calls / 1e6:6.3f}")
    return 1 if void or failed else 0


def place(folder: Path, sip: int, calls: int, rate: int) -> tuple[int, int, float]:
    """Calls that succeeded, calls that failed, and seconds from the first to the last INVITE, at
    least."""
    order = ["sipp", f"127.0.0.1:{sip}", "-sf", str(SCENARIO), "-s", NUMBER, "-i", "127.0.0.1"]
    order += ["-p", str(free_port()), "-m", str(calls), "-r", str(rate), "-l", str(calls)]
    order += ["-nostdin", "-timeout", "120"]
    started = time.monotonic()
    ended = subprocess.run(order, cwd=folder, capture_output=True, text=True, check=False)
    # Ringing for a second, as the document says, is not the server's slowness.
    seconds = max(time.monotonic() - started - 1, calls / rate)
    return _last(ended.stdout, "Successful call"), _last(ended.stdout, "Failed call"), seconds


def refused(folder: Path) -> int:
    """Calls that ended otherwise than their document says, by the server's own records."""
    time.sleep(1)
    with closing(sqlite3.connect(folder / "data" / "callrouter.db")) as database:
        query = "SELECT count(*) FROM calls WHERE status != 'completed' OR error_code != 0"
        return int(database.execute(query).fetchone()[0])


def _last(screens: str, title: str) -> int:
    """The total in SIPp's last screen."""
    found = re.findall(rf"{title}\s*\|\s*\d+\s*\|\s*(\d+)", screens)
    return int(found[-1]) if found else 0


def thread_times(pid: int) -> Counter[str]:
    """Nanoseconds that the threads of a process have run, by group."""
    times: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        known = (group for prefix, group in GROUPS.items() if name.startswith(prefix))
        group = "event loop" if task.name == str(pid) else next(known, "other")
        times[group] += int((task / "schedstat").read_text().split()[0])
    return times


@contextmanager
def served(
    folder: Path, document: str, *, fetches: bool = True, root: Path = ROOT
) -> Iterator[tuple[int, int]]:
    """A server from the sources in `root` and its documents, fetched or at hand; its process id and SIP
    port."""
    sip, rest, http = free_port(), free_port(), free_port()
    config = folder / "config.yaml"
    config.write_text(json.dumps(_config(folder, sip, rest, http)))
    documents = [sys.executable, "-m", "tests.benchmarks.document_server", str(http), document]
    program = ["callrouter.cli"] if fetches else ["tests.benchmarks.server_without_http", document]
    server = [sys.executable, "-m", *program, "run", "--config", str(config), "--log-level", "warning"]
    with subprocess.Popen(documents, cwd=ROOT) as web, subprocess.Popen(server, cwd=root) as process:
        try:
            _await_ready(f"http://127.0.0.1:{rest}/readyz")
            yield process.pid, sip
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            web.kill()


def _config(folder: Path, sip: int, rest: int, http: int) -> dict[str, object]:
    return {
        "sip": {"listen": [{"host": "127.0.0.1", "port": sip, "transport": "udp"}]},
        "api": {"port": rest},
        "storage": {"data_directory": str(folder / "data")},
        "media": {"port_quarantine_seconds": 1},
        "fetch": {"allow_private": [f"127.0.0.1:{http}"], "media_cache_dir": str(folder / "media")},
        "speech": {"cache_dir": str(folder / "speech")},
        "calls": {"max_calls": 5000},
        "accounts": {"demo": {"sid": "AC" + "de" * 16, "token": "t" * 32, "plan": "own"}},
        "credits": [{"account": "demo", "amount": "1000.00", "key": "opening"}],
        "plans": {"own": {"prices": {"application": {"price": "0.02", "increment_s": 1}}}},
        "addresses": {NUMBER: {"account": "demo", "target": f"http://127.0.0.1:{http}/welcome"}},
    }


def _await_ready(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not become ready within 20 s")


if __name__ == "__main__":
    sys.exit(main())
