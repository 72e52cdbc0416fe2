"""What several processes keep in one folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from callrouter.cachefolder import CacheFolder


def folder(path: Path) -> CacheFolder:
    made = CacheFolder(path, ".wav", 1000)
    made.prepare()
    return made


def test_what_another_process_has_begun_is_left_to_it(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    partial = begun.partial()
    partial.write_bytes(b"so far")
    folder(tmp_path)
    assert begun.publish(partial, "text").read_bytes() == b"so far"


def test_what_a_crash_left_half_done_is_cleared(tmp_path: Path) -> None:
    partial = folder(tmp_path).partial()
    yesterday = time.time() - 86_400
    os.utime(partial, (yesterday, yesterday))
    folder(tmp_path)
    assert not partial.exists()


def test_a_file_that_goes_while_files_are_counted_is_none(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    folder(tmp_path)
