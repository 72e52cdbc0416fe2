"""Threads carry their names where operators look for them: `top -H`, `perf`, /proc."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

_LONGEST = 15


def tell_kernel_own_name() -> None:
    """Give the calling thread's name to the kernel, as Python does by itself from 3.14 on."""
    name = threading.current_thread().name[:_LONGEST]
    with contextlib.suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
