"""What names a leg of the media engine."""

from __future__ import annotations

from typing import NewType

LegId = NewType("LegId", int)
"""An engine leg: slot number and generation in one integer; a closed leg's id never works again."""
