"""Who holds which call, as the journal's facts tell it; the same facts give the same tracks.

A fact is made by the live meter, applied to its tracks and journaled.  The projector applies it
to tracks of its own to learn what to write to the database, and recovery applies all of them to
find what a dead epoch left open.  No clock here: times come with the facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metering import facts
from metering.interval import CallFacts, Cause, Holder, Interval


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a session's monotonic time lies in UTC, fixed once."""

    ns: int
    utc_ms: int

    def ms(self, at_ns: int) -> int:
        """UTC milliseconds of a monotonic instant."""
        return self.utc_ms + (at_ns - self.ns) // 1_000_000


@dataclass(slots=True)
class Track:
    """A call's intervals so far; the last runs unless the track has ended."""

    call: CallFacts
    anchor: Anchor
    epoch: int
    intervals: list[Interval]
    ended: bool = False

    @property
    def running(self) -> Interval:
        return self.intervals[-1]

    def concerns(self, account_sid: str) -> bool:
        """Whether the account may have to pay for some of it."""
        return self.call.account_sid == account_sid or any(
            interval.holder.on_behalf_of == account_sid for interval in self.intervals
        )

    def clamped_ms(self, at_ns: int) -> int:
        """`at_ns` on this track, which never goes backwards."""
        return max(self.anchor.ms(at_ns), self.running.start_ms)


@dataclass(frozen=True, slots=True)
class Changed:
    """An interval was opened or closed."""

    interval: Interval


@dataclass(frozen=True, slots=True)
class Ended:
    """A track is complete."""

    track: Track


Change = Changed | Ended


@dataclass(frozen=True, slots=True)
class Dialog:
    """What is needed to end a call's signalling after a crash."""

    epoch: int
    state: str


@dataclass(slots=True)
class Tracks:
    """Live tracks and dialogs.  `apply` is the only way they change."""

    epoch: int = 0
    boot: str = ""
    live: dict[str, Track] = field(default_factory=dict)
    """By call sid."""
    anchors: dict[str, Anchor] = field(default_factory=dict)
    """By session sid, while one of its calls lives."""
    members: dict[str, set[str]] = field(default_factory=dict)
    """Live call sids by session sid."""
    dialogs: dict[str, Dialog] = field(default_factory=dict)
    """By call sid."""
    heartbeats: dict[int, int] = field(default_factory=dict)
    """Last monotonic nanosecond known alive, by epoch."""

    def apply(self, kind: str, body: Mapping[str, Any]) -> list[Change]:
        """Take in one fact; kinds that are somebody else's mean nothing here."""
        match kind:
            case facts.BEGIN:
                return self._begin(body)
            case facts.TRANSFER:
                return self._transfer(body)
            case facts.END:
                return self._end(body["call"], body["at"], Cause(body["cause"]), estimated=False)
            case facts.RECOVERED:
                return [
                    change
                    for sid, at_ms in body["ends"].items()
                    for change in self._end(sid, at_ms, Cause.RECOVERY, estimated=True)
                ]
            case facts.HEARTBEAT:
                self.heartbeats[self.epoch] = body["ns"]
            case facts.EPOCH:
                self.epoch, self.boot = body["epoch"], body["boot"]
                self.heartbeats[self.epoch] = body["ns"]
            case facts.DIALOG:
                self.dialogs[body["call"]] = Dialog(self.epoch, body["state"])
            case facts.DIALOG_ENDED:
                self.dialogs.pop(body["call"], None)
            case facts.SNAPSHOT:
                self._restore(body["meter"])
        return []

    def dead(self) -> list[Track]:
        """Tracks that an earlier epoch left open."""
        return [track for track in self.live.values() if track.epoch < self.epoch]

    def last_sign_ms(self, track: Track) -> int:
        """When a dead track's epoch was last known alive: at its last heartbeat, or at the last
        transfer of the call itself if that was later."""
        beat = self.heartbeats.get(track.epoch)
        return track.running.start_ms if beat is None else track.clamped_ms(beat)

    def snapshot(self) -> dict[str, Any]:
        """Everything, for the beginning of a new journal file."""
        epochs = {self.epoch}
        epochs.update(track.epoch for track in self.live.values())
        return {
            "epoch": self.epoch,
            "boot": self.boot,
            "heartbeats": [[epoch, ns] for epoch, ns in self.heartbeats.items() if epoch in epochs],
            "tracks": [_track_to_json(track) for track in self.live.values()],
            "dialogs": [[sid, dialog.epoch, dialog.state] for sid, dialog in self.dialogs.items()],
        }

    def _restore(self, data: Mapping[str, Any]) -> None:
        self.epoch, self.boot = data["epoch"], data["boot"]
        self.heartbeats = dict(data["heartbeats"])
        tracks = [_track_from_json(entry) for entry in data["tracks"]]
        self.live, self.anchors, self.members = {}, {}, {}
        for track in tracks:
            self._join(track)
        self.dialogs = {sid: Dialog(epoch, state) for sid, epoch, state in data["dialogs"]}

    def _begin(self, body: Mapping[str, Any]) -> list[Change]:
        call = facts.call_from_json(body["call"])
        anchor = Anchor(*body["anchor"])
        holder = facts.holder_from_json(body["holder"])
        interval = Interval(call, 0, holder, body["at"], Cause(body["cause"]))
        self._join(Track(call, anchor, self.epoch, [interval]))
        return [Changed(interval)]

    def _transfer(self, body: Mapping[str, Any]) -> list[Change]:
        track = self.live.get(body["call"])
        if track is None:
            return []
        at_ms, cause = body["at"], Cause(body["cause"])
        closed = track.running.closed(at_ms, cause)
        if session := body.get("session"):
            self._leave(track)
            track.call = replace(track.call, session_sid=session)
            self._join(track)
        holder: Holder = facts.holder_from_json(body["holder"])
        opened = Interval(track.call, closed.sequence + 1, holder, at_ms, cause)
        track.intervals[-1:] = [closed, opened]
        return [Changed(closed), Changed(opened)]

    def _end(self, call_sid: str, at_ms: int, cause: Cause, *, estimated: bool) -> list[Change]:
        track = self.live.get(call_sid)
        if track is None:
            return []
        self._leave(track)
        closed = track.running.closed(at_ms, cause, estimated=estimated)
        track.intervals[-1] = closed
        track.ended = True
        return [Changed(closed), Ended(track)]

    def _join(self, track: Track) -> None:
        session = track.call.session_sid
        self.live[track.call.call_sid] = track
        self.anchors.setdefault(session, track.anchor)
        self.members.setdefault(session, set()).add(track.call.call_sid)

    def _leave(self, track: Track) -> None:
        session = track.call.session_sid
        del self.live[track.call.call_sid]
        members = self.members[session]
        members.discard(track.call.call_sid)
        if not members:
            del self.members[session], self.anchors[session]


def _track_to_json(track: Track) -> dict[str, Any]:
    return {
        "call": facts.call_to_json(track.call),
        "anchor": [track.anchor.ns, track.anchor.utc_ms],
        "epoch": track.epoch,
        "intervals": [
            {**facts.interval_to_json(interval), "session": interval.call.session_sid}
            for interval in track.intervals
        ],
    }


def _track_from_json(data: Mapping[str, Any]) -> Track:
    call = facts.call_from_json(data["call"])
    intervals = [
        facts.interval_from_json(entry, replace(call, session_sid=entry["session"]), sequence)
        for sequence, entry in enumerate(data["intervals"])
    ]
    return Track(call, Anchor(*data["anchor"]), data["epoch"], intervals)
