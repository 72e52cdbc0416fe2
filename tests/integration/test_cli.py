"""The command as a shell has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_reader_that_has_had_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    document = tmp_path / "long.xml"
    document.write_text("<Response>" + "<Nonsense/>\n" * 2000 + "</Response>")
    command = [sys.executable, "-m", "callrouter.cli", "check", str(document)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.read(1)
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141
