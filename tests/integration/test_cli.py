"""The command as a shell has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_reader_that_has_had_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    document = tmp_path / "wrong.xml"
    document.write_text("<Response><Nonsense/></Response>")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "callrouter.cli", "check", str(document)]
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")
