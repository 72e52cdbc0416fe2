"""What may be passed on unread, as the configuration names it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from callrouter.sip.protocol.passed import FAX, VIDEO

PassedMedia = Literal["video", "t38"]
_KINDS = {"video": VIDEO, "t38": FAX}


def passed_kinds(names: Iterable[PassedMedia]) -> frozenset[str]:
    """As `m=` lines name them."""
    return frozenset(_KINDS[name] for name in names)
