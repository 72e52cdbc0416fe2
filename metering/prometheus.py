"""Figures for Prometheus: every name and label is declared in this table.

Labels are bounded: codes, classes, outcomes, module codes.  A telephone number is never a label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX = "callrouter"

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_HUMAN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
_OPINION = (1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3)
_SHARE = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Declared:
    """One figure."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FIGURES: dict[str, Declared] = {
    "sip_messages": Declared("counter", "SIP requests", ("direction", "method", "transport", "trunk")),
    "sip_responses": Declared(
        "counter", "SIP responses", ("direction", "method", "class", "transport", "trunk")
    ),
    "sip_connections": Declared("gauge", "Open SIP connections", ("transport",)),
    "sip_connections_refused": Declared(
        "counter", "SIP connections refused or closed for a fault of the other end", ("transport", "reason")
    ),
    "sip_errors": Declared("counter", "SIP messages that could not be used", ("kind",)),
    "trunk_gateway_up": Declared("gauge", "1: calls are sent to this gateway", ("trunk", "gateway")),
    "trunk_registered": Declared("gauge", "1: registered with this carrier", ("trunk",)),
    "trunk_failovers": Declared("counter", "Calls that went on to another gateway", ("trunk", "gateway")),
    "calls": Declared("counter", "Calls that have ended", ("direction", "outcome")),
    "calls_live": Declared("gauge", "Calls under way", ("state",)),
    "call_setup_seconds": Declared("histogram", "From INVITE to answer", (), _HUMAN),
    "fetch_seconds": Declared("histogram", "HTTP requests for documents and media", ("outcome",), _HUMAN),
    "module_seconds": Declared("counter", "Time modules controlled calls", ("module", "mode")),
    "rtp_packets": Declared("counter", "RTP packets", ("direction",)),
    "rtp_lost": Declared("counter", "RTP packets that never arrived"),
    "rtp_discarded": Declared("counter", "Datagrams on RTP ports that were not used", ("reason",)),
    "rtp_mos": Declared(
        "histogram", "Mean opinion score of ended legs, by the E-model", ("direction",), _OPINION
    ),
    "rtp_loss_ratio": Declared("histogram", "Share of packets lost, of ended legs", ("direction",), _SHARE),
    "rtp_jitter_seconds": Declared("histogram", "Jitter of ended legs", ("direction",), _FAST),
    "rtp_round_trip_seconds": Declared("histogram", "Round trip of ended legs, by RTCP", (), _FAST),
    "rtp_late_sends": Declared("counter", "RTP packets sent more than 5 ms late"),
    "rtp_transcoded": Declared(
        "counter", "Frames of 20 ms decoded (in) or encoded (out) in G.722 or Opus", ("direction",)
    ),
    "rtp_concealed": Declared("counter", "Frames made up in place of lost ones"),
    "rtp_late_prompts": Declared(
        "counter", "Frames of silence because a long prompt had not been read from its file in time"
    ),
    "rtp_passed": Declared("counter", "Datagrams of video and fax passed on unread"),
    "legs_transcoding": Declared("gauge", "Media legs that decode or encode G.722 or Opus"),
    "legs_live": Declared("gauge", "Media legs that are open"),
    "media_thread_load": Declared("gauge", "Share of its time that a media thread is busy", ("thread",)),
    "policy_refusals": Declared("counter", "Control refused, by the rule that did", ("rule",)),
    "warnings": Declared("counter", "Warnings and errors told to developers", ("code",)),
    "outbox_pending": Declared("gauge", "Callbacks and notifications not yet delivered"),
    "callbacks": Declared("counter", "Attempts to deliver callbacks and notifications", ("outcome",)),
    "rest_requests": Declared("counter", "REST requests, by template of the path", ("route", "class")),
    "speech_syntheses": Declared("counter", "Texts to speak: spoken, cached, failed", ("outcome",)),
    "journal_unprojected": Declared("gauge", "Journal records that are not in the database yet"),
    "journal_records_refused": Declared("counter", "Journal records the database would never take"),
    "projector_restarts": Declared("counter", "Starts of the journal's projector after it failed"),
    "journal_sync_seconds": Declared("histogram", "Writing and syncing the journal", (), _FAST),
}


Figure = TypeVar("Figure", Counter, Gauge, Histogram)


class _Series(Generic[Figure]):
    """The figures of one kind by name, and what became of each set of labels that was asked for:
    looking that up in the library costs more than the counting."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}
        self._found: dict[tuple[object, ...], Figure] = {}

    def of(self, name: str, labels: Mapping[str, str]) -> Figure:
        key = (name, *labels.items())
        found = self._found.get(key)
        if found is None:
            figure = self.figures[name]
            found = figure.labels(**labels) if labels or FIGURES[name].labels else figure
            self._found[key] = found
        return found


class PrometheusMetrics:
    """Fits `ports.Metrics`, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = _Series[Counter]()
        self._gauges = _Series[Gauge]()
        self._histograms = _Series[Histogram]()
        for name, declared in FIGURES.items():
            self._declare(name, declared)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter.  Raises KeyError or ValueError for what is not declared."""
        self._counters.of(name, labels).inc(amount)

    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        """What adds one to a counter each time it is called; raises the same."""
        return self._counters.of(name, labels).inc

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a histogram.  Raises KeyError or ValueError for what is not declared."""
        self._histograms.of(name, labels).observe(value)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge.  Raises KeyError or ValueError for what is not declared."""
        self._gauges.of(name, labels).set(value)

    def render(self) -> bytes:
        """All figures in the Prometheus text format (`text/plain; version=0.0.4`)."""
        return generate_latest(self.registry)

    def _declare(self, name: str, declared: Declared) -> None:
        match declared.kind:
            case "counter":
                self._counters.figures[name] = Counter(
                    name, declared.help, declared.labels, namespace=PREFIX, registry=self.registry
                )
            case "gauge":
                self._gauges.figures[name] = Gauge(
                    name, declared.help, declared.labels, namespace=PREFIX, registry=self.registry
                )
            case "histogram":
                self._histograms.figures[name] = Histogram(
                    name,
                    declared.help,
                    declared.labels,
                    namespace=PREFIX,
                    registry=self.registry,
                    buckets=declared.buckets,
                )
