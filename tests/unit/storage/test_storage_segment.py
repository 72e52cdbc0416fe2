"""A journal file read back is a prefix of what was written, or says that it is damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.storage.segment import MAGIC, encode, encode_body, frame_at, scan

FACTS = st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=12)), min_size=1, max_size=6)


def file_of(facts: list[dict[str, str]], *, first: int = 1, batch: int = 2) -> tuple[bytes, list[int]]:
    """A file written in syncs of `batch` records, and where each record ends."""
    data, ends = b"", []
    for index, fact in enumerate(facts):
        durable = first - 1 + index // batch * batch
        data += encode(first + index, durable, encode_body("fact", fact))
        ends.append(len(data))
    return data, ends


@given(FACTS)
def test_what_is_written_is_read(facts: list[dict[str, str]]) -> None:
    data, _ = file_of(facts, first=7)
    found = scan(data, 7)
    assert [frame.record().body for frame in found.frames] == facts
    assert [frame.sequence for frame in found.frames] == list(range(7, 7 + len(facts)))
    assert (found.good_bytes, found.damaged) == (len(data), False)


@given(FACTS, st.data())
@settings(max_examples=200)
def test_a_file_cut_at_any_byte_is_a_prefix_of_its_records(
    facts: list[dict[str, str]], data: st.DataObject
) -> None:
    whole, ends = file_of(facts)
    cut = data.draw(st.integers(0, len(whole)))
    found = scan(whole[:cut], 1)
    complete = sum(end <= cut for end in ends)
    assert [frame.record().body for frame in found.frames] == facts[:complete]
    assert not found.damaged


@given(FACTS, st.data())
@settings(max_examples=200)
def test_a_changed_byte_never_yields_another_record(facts: list[dict[str, str]], data: st.DataObject) -> None:
    whole, ends = file_of(facts)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    found = scan(bytes(changed), 1)
    before = sum(end <= at for end in ends)
    assert [frame.record().body for frame in found.frames] == facts[:before]
    acknowledged = (len(facts) - 1) // 2 * 2  # what the last record calls durable
    last_is_hit = before == len(facts) - 1
    assert found.damaged == (before < acknowledged and not last_is_hit)


def test_a_hole_in_the_last_sync_is_a_torn_tail() -> None:
    """Pages of one write may reach the disk out of order; nobody had been told of any of them."""
    data = b"".join(encode(number, 0, encode_body("fact", {})) for number in (1, 2, 3))
    hole = len(data) // 3
    found = scan(data[:hole] + bytes(hole) + data[2 * hole :], 1)
    assert (len(found.frames), found.damaged) == (1, False)


def test_a_record_of_another_place_is_not_accepted() -> None:
    data = encode(5, 4, encode_body("fact", {}))
    found = scan(data, 1)
    assert (found.frames, found.damaged) == ([], True)


@given(st.binary(max_size=200))
def test_noise_is_no_record(noise: bytes) -> None:
    assert frame_at(noise, 0) is None
    assert frame_at(MAGIC + noise, 0) is None


def test_a_body_may_not_name_its_own_kind() -> None:
    with pytest.raises(ValueError, match="kind"):
        encode_body("fact", {"kind": "other"})
