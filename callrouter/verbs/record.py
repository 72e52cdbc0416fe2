"""<Record>: record the caller (docs/verbs.md).  It always ends by requesting its action, even when
the caller hangs up: then with `Digits=hangup`, and the answer cannot act any more."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.documents.attributes import Attributes, Method
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import (
    GoTo,
    Hangup,
    Interrupt,
    LiveCall,
    Outcome,
    Parameters,
    Recorded,
    RecordingEnd,
    RecordOrder,
)
from callrouter.verbs.callbacks import COMPLETED, absolute, recording_events

KEYS = "1234567890*#"
LONGEST_SECONDS = 14_400
DEFAULT_SECONDS = 3600
LONGEST_TRANSCRIBED_SECONDS = 120
TRIMS = ("trim-silence", "do-not-trim")


@dataclass(frozen=True, slots=True)
class Record:
    line: int
    action: str = ""
    """"" is the current document."""
    method: Method = "POST"
    silence_seconds: int = 5
    """0 when silence does not end it."""
    finish_on: str = KEYS
    max_seconds: int = DEFAULT_SECONDS
    play_beep: bool = True
    trim: str = "trim-silence"
    callback: str = ""
    callback_method: Method = "POST"
    callback_events: frozenset[str] = COMPLETED

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Record:
        read = Attributes(element, findings)
        record = cls(
            line=element.line,
            action=read.url("action") or "",
            method=read.method(code=13610),
            silence_seconds=read.integer("timeout", 5, code=13611, least=0, most=LONGEST_SECONDS),
            finish_on=read.characters("finishOnKey", KEYS, KEYS, code=13613),
            max_seconds=_max_seconds(read),
            play_beep=read.boolean("playBeep", True, code=13616),
            trim=read.choice("trim", "trim-silence", TRIMS, code=13699),
            callback=read.url("recordingStatusCallback", code=13256) or "",
            callback_method=read.method("recordingStatusCallbackMethod", code=13610),
            callback_events=recording_events(read),
        )
        read.unsupported("recordingConfigurationId")
        read.finish()
        return record

    async def run(self, call: LiveCall) -> Outcome:
        recorded = await call.record(
            RecordOrder(
                max_seconds=self.max_seconds,
                silence_seconds=self.silence_seconds,
                stop_digits=self.finish_on,
                trim_silence=self.trim == "trim-silence",
                play_beep=self.play_beep,
                callback=absolute(call, self.callback, self.line),
                callback_method=self.callback_method,
                callback_events=self.callback_events,
            )
        )
        digits = "hangup" if recorded.reason is RecordingEnd.CLOSED else recorded.digit
        return self._request(recorded, digits)

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        if not isinstance(cause, Hangup):
            return None
        return self._request(call.last_recording, "hangup")

    def _request(self, recorded: Recorded | None, digits: str) -> GoTo:
        parameters: Parameters = ()
        if recorded is not None:
            parameters += (
                ("RecordingUrl", recorded.url),
                ("RecordingSid", recorded.sid),
                ("RecordingDuration", str(recorded.seconds)),
            )
        if digits:
            parameters += (("Digits", digits),)
        return GoTo(self.action, self.method, parameters)


def _max_seconds(read: Attributes) -> int:
    """maxLength, whose default is shorter for what is to be transcribed."""
    transcribe = read.boolean("transcribe", False, code=13614)
    callback = read.url("transcribeCallback", code=13257)
    default = LONGEST_TRANSCRIBED_SECONDS if transcribe else DEFAULT_SECONDS
    seconds = read.integer("maxLength", default, code=13612, least=2, most=LONGEST_SECONDS)
    if transcribe:
        if seconds > LONGEST_TRANSCRIBED_SECONDS:
            read.warn(13615, f"maxLength {seconds} is too long to be transcribed")
        read.warn(13619, "transcription is not available here, the recording is made without it")
    elif callback:
        read.warn(13619, "transcribeCallback has no effect without transcribe")
    return seconds
