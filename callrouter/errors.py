"""The error tree.

    CallrouterError
     ├── ConfigurationError      config.yaml or a flag is wrong: file, line, what was expected
     ├── StartupError            a port is busy, a file unreadable: which, and what to do about it
     └── CallError               something went wrong on one call; carries its own verdict
          ├── FetchFailed        a document or media file could not be had            112xx, 11750
          ├── DocumentError      a document is not TwiML that can be run        12xxx, 13xxx, 11100
          ├── AudioUnplayable    the bytes are not audio we can play                         13420
          ├── SpeechFailed       text could not be spoken                                    13520
          ├── MediaUnavailable   no port or socket left for another leg                      16000
          │    └── NoSuchFamily  an address family that no media address is configured for
          ├── Unroutable         no way to reach a target                                    13224
          └── CallGone           the leg ended while something was being done to it

Each `CallError` says what it means for the call, so that nobody downstream has to guess: the code
a developer sees (a TwiML error code), whether trying again can help, whether the time spent is
billable, and the SIP status to refuse with if the call is not yet answered.
"""

from __future__ import annotations


class CallrouterError(Exception):
    """Root of everything this program raises on purpose."""


class ConfigurationError(CallrouterError):
    """Settings that cannot be used.  `line` is 1-based, 0 when it belongs to no line."""

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        self.file = file
        self.line = line
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{message}")


class StartupError(CallrouterError):
    """The server cannot start; the message names the resource and the remedy."""


class CallError(CallrouterError):
    """A failure on one call, with its verdict."""

    code = 12400
    retryable = False
    billable = True
    sip_status = 500

    def __init__(self, message: str, *, code: int | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class FetchFailed(CallError):
    """`url` could not be fetched."""

    code = 11200
    sip_status = 502

    def __init__(
        self, message: str, *, url: str, code: int = 11200, status: int = 0, retryable: bool = False
    ) -> None:
        super().__init__(message, code=code, retryable=retryable)
        self.url = url
        self.status = status
        self.recorded = False
        """The failed request is among the events of the call."""


class DocumentError(CallError):
    """A document cannot be run; `line` is where (1-based, 0 if unknown)."""

    code = 12100
    sip_status = 502

    def __init__(self, message: str, *, code: int = 12100, line: int = 0) -> None:
        super().__init__(message, code=code)
        self.line = line


class AudioUnplayable(CallError):
    code = 13420


class SpeechFailed(CallError):
    code = 13520


class MediaUnavailable(CallError):
    code = 16000
    retryable = True
    sip_status = 503


class NoSuchFamily(MediaUnavailable):
    """The far end's audio is at an address of a family we have no address of (RFC 3261 §21.4.26)."""

    retryable = False
    sip_status = 488


class Unroutable(CallError):
    code = 13224
    billable = False
    sip_status = 404


class CallGone(CallError):
    """Not a failure: whoever was acting on the leg stops."""

    code = 0
