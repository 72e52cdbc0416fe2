"""`make bench`: an overview of what docs/benchmarks.md speaks of."""

import subprocess
import sys

from tests.benchmarks.hearing import ROOT

print("=== calls: SIPp against the whole server", flush=True)
calls = subprocess.run([sys.executable, "-m", "tests.benchmarks.calls"], cwd=ROOT, check=False)
print("\n=== a call with a document, thread by thread", flush=True)
threads = subprocess.run([sys.executable, "-m", "tests.benchmarks.server_calls"], cwd=ROOT, check=False)
print("\n=== media: the RTP engine alone", flush=True)
media = subprocess.run([sys.executable, "-m", "tests.benchmarks.media"], cwd=ROOT, check=False)
print("\n=== media: rooms, keys heard as tones, taps", flush=True)
paths = subprocess.run([sys.executable, "-m", "tests.benchmarks.media_paths"], cwd=ROOT, check=False)
sys.exit(calls.returncode or threads.returncode or media.returncode or paths.returncode)
