"""Whatever happens to a call, its intervals partition its life, and replaying its facts tells the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from metering import facts
from metering.interval import CallFacts, Cause, Holder, Interval, Mode
from metering.timeline import partitions
from metering.tracks import Anchor, Ended, Tracks

HOLDERS = st.builds(
    Holder,
    st.sampled_from(["acme.menu", "beta.survey", "platform.bridge"]),
    st.just("acme"),
    st.sampled_from(Mode),
    instance=st.sampled_from(["", "one"]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "transfer", "end", "detach"]),
        st.integers(0, 2),
        st.integers(-5_000_000, 5_000_000_000),
        HOLDERS,
    ),
    max_size=30,
)


def call(number: int) -> CallFacts:
    return CallFacts(f"CA{number}", "CA0", "AC1", "+15550100", parent_sid="CA0" if number else "")


def journal_of(steps: list[tuple[str, int, int, Holder]]) -> list[tuple[str, dict[str, Any]]]:
    """The facts a meter would write for these steps, its clock jumping about."""
    tracks = Tracks()
    written: list[tuple[str, dict[str, Any]]] = []
    now_ns = 10**12

    def write(kind: str, body: dict[str, Any]) -> None:
        written.append((kind, json.loads(json.dumps(body))))
        tracks.apply(kind, body)

    write(facts.EPOCH, {"epoch": 1, "boot": "b", "ns": now_ns})
    for action, number, step_ns, holder in steps:
        now_ns += step_ns
        sid = f"CA{number}"
        track = tracks.live.get(sid)
        told = {"call": sid, "holder": facts.holder_to_json(holder), "cause": Cause.VERB.value}
        if action == "begin" and track is None and not any(body.get("begun") == sid for _, body in written):
            anchor = tracks.anchors.get("CA0") or Anchor(now_ns, 1_700_000_000_000)
            body = {**told, "call": facts.call_to_json(call(number)), "begun": sid}
            write(facts.BEGIN, {**body, "anchor": [anchor.ns, anchor.utc_ms], "at": anchor.ms(now_ns)})
        elif track is None:
            continue
        elif action == "end":
            write(facts.END, {"call": sid, "at": track.clamped_ms(now_ns), "cause": "hangup"})
        else:
            session = {"session": sid} if action == "detach" else {}
            write(facts.TRANSFER, {**told, "at": track.clamped_ms(now_ns), **session})
    return written


def replay(written: list[tuple[str, dict[str, Any]]], tracks: Tracks) -> dict[str, list[Interval]]:
    """Tracks by call sid, ended ones included."""
    ended: dict[str, list[Interval]] = {}
    for kind, body in written:
        for change in tracks.apply(kind, body):
            if isinstance(change, Ended):
                ended[change.track.call.call_sid] = change.track.intervals
    return ended | {sid: track.intervals for sid, track in tracks.live.items()}


@given(STEPS)
def test_intervals_partition_their_call(steps: list[tuple[str, int, int, Holder]]) -> None:
    for track in replay(journal_of(steps), Tracks()).values():
        assert partitions(track)
        assert all(interval.call.key_number == "+15550100" for interval in track)


@given(STEPS)
def test_a_replay_tells_the_same(steps: list[tuple[str, int, int, Holder]]) -> None:
    written = journal_of(steps)
    first, second = Tracks(), Tracks()
    assert replay(written, first) == replay(written, second)
    assert first.snapshot() == second.snapshot()


@given(STEPS, st.data())
def test_a_snapshot_stands_for_everything_before_it(
    steps: list[tuple[str, int, int, Holder]], data: st.DataObject
) -> None:
    written = journal_of(steps)
    at = data.draw(st.integers(0, len(written)))
    straight, early, late = Tracks(), Tracks(), Tracks()
    replay(written, straight)
    replay(written[:at], early)
    snapshot = json.loads(json.dumps(early.snapshot()))
    replay([(facts.SNAPSHOT, {"meter": snapshot}), *written[at:]], late)
    assert late == straight


@given(STEPS)
@settings(max_examples=50)
def test_only_dead_epochs_are_closed_and_only_once(steps: list[tuple[str, int, int, Holder]]) -> None:
    tracks = Tracks()
    replay(journal_of(steps), tracks)
    open_before = set(tracks.live)
    tracks.apply(facts.HEARTBEAT, {"ns": 10**12 + 10**9})
    tracks.apply(facts.EPOCH, {"epoch": 2, "boot": "b", "ns": 5})
    dead = {track.call.call_sid: tracks.last_sign_ms(track) for track in tracks.dead()}
    assert set(dead) == open_before
    ended = [
        change.track for change in tracks.apply(facts.RECOVERED, {"ends": dead}) if isinstance(change, Ended)
    ]
    assert {track.call.call_sid for track in ended} == open_before
    assert all(partitions(track.intervals) and track.running.estimated for track in ended)
    assert tracks.apply(facts.RECOVERED, {"ends": dead}) == []
    assert tracks.dead() == []
    assert (tracks.members, tracks.anchors) == ({}, {})


def interval(sequence: int, start_ms: int, end_ms: int | None) -> Interval:
    holder = Holder("acme.menu", "acme", Mode.APPLICATION)
    return Interval(call(0), sequence, holder, start_ms, Cause.VERB, end_ms)


def test_what_does_not_partition_a_call_is_seen() -> None:
    assert partitions([interval(0, 0, 5), interval(1, 5, None)])
    assert not partitions([])
    assert not partitions([interval(0, 0, 5), interval(1, 6, 7)]), "a gap"
    assert not partitions([interval(0, 0, 5), interval(1, 4, 7)]), "an overlap"
    assert not partitions([interval(0, 0, 5), interval(2, 5, 7)]), "one is missing"
    assert not partitions([interval(0, 0, None), interval(1, 5, 7)]), "two at once"
    assert not partitions([interval(0, 5, 4)]), "backwards"
