"""What the engine counts on each leg; `LegClosed.counters` has these names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COUNTERS: dict[str, str] = {
    "packets_in": "RTP packets accepted from the far end",
    "packets_out": "RTP packets sent",
    "octets_in": "payload octets accepted",
    "octets_out": "payload octets sent",
    "lost": "packets of the far end that never arrived",
    "late": "packets that arrived after a newer one",
    "duplicates": "packets that arrived twice, or far too late",
    "new_streams": "RTP streams (SSRCs, restarts) that the far end has sent",
    "strangers": "packets from an address that is not the far end's",
    "garbage": "datagrams that were neither RTP nor anything else with a name",
    "stun": "STUN requests and answers of somebody else's making",
    "checks": "connectivity checks of a browser that proved itself",
    "handshake_strangers": "DTLS datagrams from an address that no check had chosen",
    "empty": "RTP packets without a payload",
    "wrong_type": "RTP packets of a payload type that was not agreed on",
    "bad_tags": "packets that the agreed keys did not seal",
    "replays": "sealed packets that had come before",
    "unexpected": "RTP packets that the negotiated direction does not allow",
    "gaps": "runs of packets of the far end that never arrived, or not in their turn",
    "wraps": "times the far end's sequence numbers began anew at zero",
    "switches": "times the far end changed to another agreed codec",
    "digits": "keys received",
    "feed_dropped": "pieces of handed-over audio that were not taken",
    "relayed": "packets passed on from the joined leg",
    "passed": "datagrams of other media than audio passed on unread from the joined leg",
    "passed_octets": "octets in them",
    "passed_strangers": "datagrams of other media from an address that is not the far end's",
    "comfort_noise": "packets that only say how the far end's silence sounds",
    "decoded": "frames of 20 ms decoded from another codec than G.711",
    "encoded": "frames of 20 ms encoded in another codec than G.711",
    "concealed": "frames made up because their packet was lost or late",
    "recovered": "frames that the next packet carried once more",
    "too_late": "packets that came after their turn to be decoded",
    "late_prompts": "frames of silence because a long prompt had not been read from its file in time",
    "late_sends": "packets sent more than 5 ms after they were due",
    "skipped_sends": "packets not sent because their time had long passed",
    "send_errors": "packets that the system refused to send",
    "jitter_us": "interarrival jitter of the far end's packets, microseconds",
    "jitter_max_us": "the most that jitter has been, microseconds",
    "reports_in": "RTCP packets of the far end",
    "reports_out": "RTCP packets sent",
    "reported_lost": "packets of ours that the far end says it missed",
    "reported_jitter_us": "jitter of our packets as the far end sees it, microseconds",
    "round_trip_us": "round-trip time by RTCP, microseconds; 0 when unknown",
    "r_factor_x100": "what we hear, rated by the E-model, hundredths; 0 when nothing was heard",
    "mos_x100": "the same as a mean opinion, hundredths",
    "reported_r_factor_x100": "what the far end hears, rated from its reports, hundredths; 0 without any",
    "reported_mos_x100": "the same as a mean opinion, hundredths",
}

GAUGES = frozenset(
    {
        "jitter_us",
        "jitter_max_us",
        "reported_jitter_us",
        "round_trip_us",
        "r_factor_x100",
        "mos_x100",
        "reported_r_factor_x100",
        "reported_mos_x100",
    }
)
"""Latest values rather than counts: they have no sum over legs."""

DISCARDS = (
    "strangers",
    "garbage",
    "stun",
    "handshake_strangers",
    "empty",
    "wrong_type",
    "bad_tags",
    "replays",
    "duplicates",
    "unexpected",
)
"""Why datagrams that came were not used."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over every leg the engine has had since it started, and how many live now."""

    counts: dict[str, int]
    legs_live: int
    legs_transcoding: int = 0
    """Of those the ones that decode or encode another codec than G.711."""
    loads: tuple[float, ...] = ()
    """Of each thread, the share of the last half second that it was busy; 1: it has no time left."""


def by_name(values: Sequence[int]) -> dict[str, int]:
    """The engine's row of values, named."""
    return dict(zip(COUNTERS, values, strict=True))
