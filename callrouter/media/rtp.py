"""The `Media` port, fulfilled by the RTP engine."""

from __future__ import annotations

import asyncio
import itertools
import resource
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Literal

import structlog

from callrouter import _engine
from callrouter._engine import Engine
from callrouter.errors import MediaUnavailable, NoSuchFamily, StartupError
from callrouter.media.age import check_age
from callrouter.media.certificate import make_certificate
from callrouter.media.counters import DISCARDS, GAUGES, Totals, by_name
from callrouter.media.news import event_of
from callrouter.media.orders import batch_of
from callrouter.media.prompts import Prompts, Shelf
from callrouter.media.quality import observe_quality
from callrouter.media.settings import Settings
from callrouter.ports import (
    AudioFile,
    LegClosed,
    LegId,
    LineId,
    MediaAddress,
    MediaCommand,
    MediaSink,
    Metrics,
    OpenedLeg,
    OpenedLine,
    PromptId,
    SetRemote,
    Token,
)

_log = structlog.get_logger(__name__)
_FREE = frozenset({"PCMU", "PCMA"})
"""What is neither decoded nor encoded."""
_COUNTED_SECONDS = 1.0
"""By then the engine has counted who decodes or encodes."""


class RtpMedia:
    """The engine, its events on the running loop.  `start` before use; `stop` closes every leg."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sinks: dict[int, MediaSink] = {}
        self._tokens = itertools.count(1)
        self._reported: dict[str, int] = {}
        self._ended: list[Mapping[str, int]] = []
        """Counters of legs that have closed since the last report."""
        self._running: _Running | None = None
        self._is_at_limit = False
        self._coding: dict[LegId, float] = {}
        """Legs in a codec that may have to be decoded and encoded, and since when."""
        self._certificate = make_certificate()

    @property
    def fingerprint(self) -> str:
        """Of the certificate that browsers are shown, as `a=fingerprint` has it."""
        return self._certificate.fingerprint

    async def start(self) -> None:
        """Start the threads.  Raises `StartupError` when the system will not give them, or the
        engine was built for another version."""
        check_age()
        settings = self._settings
        _raise_file_limit()
        for name in ("bind_v4", "bind_v6"):
            _check_address(name, getattr(settings, name))
        bound = [str(address) for address in (settings.bind_v4, settings.bind_v6) if address is not None]
        try:
            engine = Engine(
                addresses=bound,
                first_port=settings.first_port,
                last_port=settings.last_port,
                threads=settings.threads,
                quarantine_ms=round(settings.port_quarantine_seconds * 1000),
                rtp_timeout_ms=round(settings.rtp_timeout_seconds * 1000),
                report_interval_ms=round(settings.rtcp_interval_seconds * 1000),
                identity=(self._certificate.certificate, self._certificate.private_key),
            )
        except OSError as error:
            raise StartupError(f"the media engine cannot start its threads: {error}") from error
        self._running = _Running(engine, settings)
        asyncio.get_running_loop().add_reader(engine.fileno(), self._read)

    async def stop(self) -> None:
        """Close every leg, finish every recording, deliver the events of both."""
        running, self._running = self._running, None
        if running is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(running.engine.fileno())
        await running.prompts.stop()
        left = await loop.run_in_executor(running.executor, running.engine.stop)
        running.executor.shutdown()
        running.later.shutdown()
        self._deliver(left)

    def open(self, family: Literal[4, 6], sink: MediaSink) -> OpenedLeg:
        """Bind a socket at once.  Raises `MediaUnavailable` when ports or sockets run out,
        `NoSuchFamily` when no address of `family` is configured."""
        if not self._settings.has(family):
            raise NoSuchFamily(f"no IPv{family} address for audio: see `media.bind_v{family}`")
        try:
            number, port = self._engine().open(family)
        except OSError as error:
            ports = f"{self._settings.first_port}-{self._settings.last_port}"
            raise MediaUnavailable(f"no RTP port for another IPv{family} leg in {ports}: {error}") from error
        self._sinks[number] = sink
        settings = self._settings
        local = MediaAddress(settings.advertised(family), port)
        return OpenedLeg(LegId(number), local, MediaAddress(settings.near(family), port))

    def open_line(self, leg: OpenedLeg) -> OpenedLine:
        """Bind ports for media of a leg that is passed on unread.  Raises `MediaUnavailable`."""
        try:
            line, port = self._engine().open_line(leg.leg)
        except OSError as error:
            ports = f"{self._settings.first_port}-{self._settings.last_port}"
            raise MediaUnavailable(f"no ports for video or fax in {ports}: {error}") from error
        return OpenedLine(LineId(line), MediaAddress(leg.local.host, port))

    def submit(self, *commands: MediaCommand) -> None:
        """Apply all of `commands` in one step.  Commands to a closed leg are ignored."""
        if self._running is not None:
            self._running.engine.submit(batch_of(commands))
            for command in commands:
                if isinstance(command, SetRemote):
                    self._note_codec(command)

    def token(self) -> Token:
        return Token(next(self._tokens))

    async def prompt(self, audio: AudioFile) -> PromptId:
        """Decode once and share.  The audio is kept while the returned object lives or plays; a long one
        can be played when its beginning has been decoded.  Raises `AudioUnplayable` naming what is wrong
        with the file."""
        if self._running is None:
            raise MediaUnavailable("the media engine is not running")
        return await self._running.prompts.get(audio)

    def totals(self) -> Totals:
        """Counts since `start`, at most half a second old."""
        values, legs_live, transcoding, loads = self._engine().totals()
        counts = {name: value for name, value in by_name(values).items() if name not in GAUGES}
        return Totals(counts, legs_live, transcoding, tuple(load / 1000 for load in loads))

    def may_transcode(self) -> bool:
        """Whether another call may be in a codec that has to be decoded and encoded.  What the engine has
        counted leaves out who is relayed unread, and who has come since."""
        since = time.monotonic() - _COUNTED_SECONDS
        fresh = sum(began > since for began in self._coding.values())
        legs = min(len(self._coding), self.totals().legs_transcoding + fresh)
        limit = self._settings.max_transcoding
        was_at_limit, self._is_at_limit = self._is_at_limit, legs >= limit
        if self._is_at_limit and not was_at_limit:
            _log.warning("transcoding_at_limit", legs=legs, limit=limit, setting="media.max_transcoding")
        elif was_at_limit and not self._is_at_limit:
            _log.info("transcoding_below_limit", legs=legs, limit=limit)
        return not self._is_at_limit

    def report(self, metrics: Metrics) -> None:
        """Add what was counted since the last report."""
        totals = self.totals()
        before, self._reported = self._reported, totals.counts

        def since(name: str) -> int:
            return max(0, totals.counts[name] - before.get(name, 0))

        metrics.count("rtp_packets", since("packets_in"), direction="in")
        metrics.count("rtp_packets", since("packets_out"), direction="out")
        metrics.count("rtp_lost", since("lost"))
        metrics.count("rtp_late_sends", since("late_sends") + since("skipped_sends"))
        for reason in DISCARDS:
            metrics.count("rtp_discarded", since(reason), reason=reason)
        metrics.count("rtp_transcoded", since("decoded"), direction="in")
        metrics.count("rtp_transcoded", since("encoded"), direction="out")
        metrics.count("rtp_concealed", since("concealed"))
        metrics.count("rtp_late_prompts", since("late_prompts"))
        metrics.count("rtp_passed", since("passed"))
        metrics.gauge("legs_live", totals.legs_live)
        metrics.gauge("legs_transcoding", totals.legs_transcoding)
        for thread, load in enumerate(totals.loads):
            metrics.gauge("media_thread_load", load, thread=str(thread))
        ended, self._ended = self._ended, []
        for counters in ended:
            observe_quality(metrics, counters)

    def _note_codec(self, command: SetRemote) -> None:
        if command.audio.codec in _FREE:
            self._coding.pop(command.leg, None)
        else:
            self._coding.setdefault(command.leg, time.monotonic())

    def _engine(self) -> Engine:
        if self._running is None:
            raise MediaUnavailable("the media engine is not running")
        return self._running.engine

    def _read(self) -> None:
        if self._running is not None:
            self._deliver(self._running.engine.events())

    def _deliver(self, told: list[tuple[Any, ...]]) -> None:
        for one in told:
            event = event_of(one)
            sink = self._sinks.get(event.leg)
            if sink is None:
                continue
            if isinstance(event, LegClosed):
                del self._sinks[event.leg]
                self._coding.pop(event.leg, None)
                self._ended.append(event.counters)
            try:
                sink(event)
            except Exception:  # noqa: BLE001 - one leg's listener must not silence the others
                _log.exception("media_sink_failed", leg=event.leg, event_type=type(event).__name__)


class _Running:
    """What exists between `start` and `stop`."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.executor = ThreadPoolExecutor(settings.decoder_threads, thread_name_prefix="media-decode")
        self.later = ThreadPoolExecutor(settings.decoder_threads, thread_name_prefix="media-decode-long")
        shelf = Shelf(
            memory=settings.prompt_cache_mb * 1_000_000,
            disk=settings.long_prompt_cache_mb * 1_000_000,
            longest_ms=settings.long_prompt_seconds * 1000,
            folder=settings.prompt_dir,
        )
        self.prompts = Prompts(engine, self.executor, self.later, shelf)


def mix_down(recording: Path, target: Path) -> None:
    """Write the channels of a 16-bit WAV, added up, as a WAV of one.  Blocks, but lets go of the
    interpreter.  Raises `OSError` for files that cannot be read or written, or are no such WAV."""
    _engine.mix_down(recording, target)


def _check_address(name: str, address: IPv4Address | IPv6Address | None) -> None:
    """Raises `StartupError` for an address that this machine does not have."""
    if address is None:
        return
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            raise StartupError(
                f"media.{name}: RTP cannot be received on {address}: {error.strerror}; "
                "name an address of this machine (see: ip address)"
            ) from error


def _raise_file_limit() -> None:
    """Two sockets a leg: take as many descriptors as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
