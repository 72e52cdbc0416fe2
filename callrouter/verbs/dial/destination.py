"""Where a noun of Dial leads, and what Number, Sip and Client have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from callrouter.documents.attributes import Attributes, Method
from callrouter.documents.finding import UNEXPECTED
from callrouter.ports import DETECTION_TIMES, DialTarget, LiveCall, MachineDetection, Parameters
from callrouter.verbs.callbacks import COMPLETED, PROGRESS_EVENTS, absolute

BAD_DETECTION = 21263

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The URLs every noun may carry."""

    screen_url: str = ""
    """Document to run on whoever answers, before they are connected."""
    screen_method: Method = "POST"
    callback: str = ""
    callback_method: Method = "POST"
    callback_events: frozenset[str] = COMPLETED

    @classmethod
    def read(cls, read: Attributes, *, method_code: int) -> Hooks:
        return cls(
            screen_url=read.url("url") or "",
            screen_method=read.method(code=method_code),
            callback=read.url("statusCallback") or "",
            callback_method=read.method("statusCallbackMethod", code=method_code),
            callback_events=read.choices("statusCallbackEvent", COMPLETED, PROGRESS_EVENTS, code=UNEXPECTED),
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """One attempt a Dial makes."""

    line: int
    uri: str
    """`tel:…`, `sip:…` or `client:…`."""
    hooks: Hooks = Hooks()
    send_digits: str = ""
    username: str = ""
    password: str = ""
    headers: Parameters = ()
    detection: MachineDetection | None = None
    """Its callback is as written."""

    def target(self, call: LiveCall, *, caller_id: str, timeout_seconds: int) -> DialTarget:
        return DialTarget(
            uri=self.uri,
            caller_id=caller_id,
            timeout_seconds=timeout_seconds,
            headers=self.headers,
            username=self.username,
            password=self.password,
            send_digits=self.send_digits,
            status_callback=absolute(call, self.hooks.callback, self.line),
            status_callback_method=self.hooks.callback_method,
            status_callback_events=self.hooks.callback_events,
            detection=self._detection(call),
        )

    def _detection(self, call: LiveCall) -> MachineDetection | None:
        wanted = self.detection
        return wanted and replace(wanted, callback=absolute(call, wanted.callback, self.line))


def detection(read: Attributes, *, method_code: int) -> MachineDetection | None:
    """Who answers is to be told apart, if `machineDetection` says so."""
    mode = read.choice("machineDetection", "", ("Enable", "DetectMessageEnd"), code=BAD_DETECTION)

    def number(what: str) -> int:
        default, least, most = DETECTION_TIMES[what]
        return read.integer(f"machineDetection{what}", default, code=BAD_DETECTION, least=least, most=most)

    wanted = MachineDetection(
        to_end=mode == "DetectMessageEnd",
        timeout_seconds=number("Timeout"),
        speech_ms=number("SpeechThreshold"),
        speech_end_ms=number("SpeechEndThreshold"),
        silence_ms=number("SilenceTimeout"),
        callback=read.url("amdStatusCallback") or "",
        callback_method=read.method("amdStatusCallbackMethod", code=method_code),
    )
    return wanted if mode else None


def header(read: Attributes, name: str, value: str) -> Parameters:
    """A header for the INVITE, or nothing (and a warning) where it cannot be one."""
    if not _HEADER_NAME.fullmatch(name):
        read.warn(13252, f"{name[:64]!r} is no header name, the header is left out")
        return ()
    if any(not character.isprintable() for character in value):
        read.warn(32112, f"the value of header {name} has control characters, the header is left out")
        return ()
    return ((name, value),)
