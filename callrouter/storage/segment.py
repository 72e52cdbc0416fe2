"""The bytes of a journal file.

A file is a run of records:

    magic  4   "CRJ1"
    length 4   of the body
    crc    4   CRC-32 of sequence, durable and body
    sequence 8 1, 2, 3 … over all files
    durable  8 every record up to this sequence was on disk when this one was written
    body       JSON object with a "kind"

Integers are little-endian.  `durable` tells a torn tail from damage: what was being written when
the machine died was never acknowledged and is cut off, but a bad record that a later one calls
durable had been promised to somebody, and that must not be forgotten silently.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAGIC = b"CRJ1"
_HEADER = struct.Struct("<4sIIQQ")
_COVERED = struct.Struct("<QQ")
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
"""Facts are trees: looking for circles in them takes as long as writing them."""
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True, slots=True)
class Record:
    """One fact of the journal."""

    sequence: int
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """A record's place in a file, its body not yet parsed."""

    sequence: int
    durable: int
    body: bytes
    end: int
    """Offset of the byte after it."""

    def record(self) -> Record:
        body = json.loads(self.body)
        return Record(self.sequence, body.pop("kind"), body)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds."""

    frames: list[Frame]
    good_bytes: int
    """Where the first record that cannot be read starts; the length of the file if there is none."""
    damaged: bool
    """The unreadable record at `good_bytes` had been acknowledged."""


def encode_body(kind: str, body: Mapping[str, Any]) -> bytes:
    """JSON of a fact.  Raises TypeError for what JSON cannot say, ValueError for a "kind" in it."""
    if "kind" in body:
        raise ValueError("the body of a journal record cannot have a 'kind' of its own")
    return _JSON.encode({"kind": kind, **body}).encode()


def encode(sequence: int, durable: int, body: bytes) -> bytes:
    """A whole record."""
    crc = zlib.crc32(body, zlib.crc32(_COVERED.pack(sequence, durable)))
    return _HEADER.pack(MAGIC, len(body), crc, sequence, durable) + body


def frame_at(data: bytes, offset: int) -> Frame | None:
    """The intact record that starts at `offset`, if there is one."""
    if len(data) - offset < HEADER_BYTES:
        return None
    magic, length, crc, sequence, durable = _HEADER.unpack_from(data, offset)
    start = offset + HEADER_BYTES
    if magic != MAGIC or len(data) - start < length:
        return None
    body = data[start : start + length]
    if zlib.crc32(body, zlib.crc32(_COVERED.pack(sequence, durable))) != crc:
        return None
    return Frame(sequence, durable, body, start + length)


def scan(data: bytes, first: int) -> Scan:
    """Read a file whose first record should have the sequence `first`."""
    frames: list[Frame] = []
    offset, expected = 0, first
    while offset < len(data):
        frame = frame_at(data, offset)
        if frame is None or frame.sequence != expected:
            return Scan(frames, offset, _acknowledged(data, offset, expected))
        frames.append(frame)
        offset, expected = frame.end, expected + 1
    return Scan(frames, offset, False)


def _acknowledged(data: bytes, offset: int, sequence: int) -> bool:
    """Whether an intact record after `offset` says that `sequence` had been on disk."""
    at = data.find(MAGIC, offset)
    while at >= 0:
        frame = frame_at(data, at)
        if frame is not None and frame.durable >= sequence:
            return True
        at = data.find(MAGIC, at + 1)
    return False
