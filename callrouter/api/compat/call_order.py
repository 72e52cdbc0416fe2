"""From the parameters of `POST Calls` to an order.  Pure."""

from __future__ import annotations

import re
from typing import Final

from callrouter.api.compat.errors import (
    BAD_APPLICATION,
    BAD_DETECTION,
    BAD_FROM,
    BAD_PARAMETER,
    BAD_SEND_DIGITS,
    BAD_SIP_PASSWORD,
    BAD_SIP_USERNAME,
    BAD_TIMEOUT,
    BAD_TO,
    BAD_URL,
    LONG_SIP_PASSWORD,
    LONG_SIP_USERNAME,
    NO_FROM,
    NO_TO,
    TWIML_TOO_LARGE,
    bad,
)
from callrouter.api.compat.form import Form
from callrouter.api.compat.sip_address import IS_SIP, check_sip_address
from callrouter.ports import DETECTION_TIMES, MachineDetection, NewCall

EVENTS: Final = frozenset({"initiated", "ringing", "answered", "completed"})
MAX_TWIML: Final = 4000

_DIGITS: Final = re.compile(r"[0-9A-Da-d#*wW]{0,32}", re.ASCII)
_NUMBER: Final = re.compile(r"\+?[0-9*#]{1,32}", re.ASCII)
_CLIENT: Final = re.compile(r"client:[^\s<>\"\x00-\x1f\x7f]{1,1024}")
_LONGEST_LOGIN: Final = 255
_APPLICATION: Final = re.compile(r"AP[0-9a-fA-F]{32}", re.ASCII)
_PUNCTUATION: Final = str.maketrans("", "", " ()-./\u00a0")
_DAY: Final = 86400

UNDERSTOOD: Final = frozenset(
    {
        "To", "From", "Url", "Twiml", "ApplicationSid", "Method", "FallbackUrl", "FallbackMethod",
        "StatusCallback", "StatusCallbackMethod", "StatusCallbackEvent", "Timeout", "TimeLimit",
        "SendDigits", "Record", "SipAuthUsername", "SipAuthPassword",
        "MachineDetection", "MachineDetectionTimeout", "MachineDetectionSpeechThreshold",
        "MachineDetectionSpeechEndThreshold", "MachineDetectionSilenceTimeout",
        "AsyncAmd", "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod",
    }
)  # fmt: skip


def call_order(form: Form, account_sid: str) -> NewCall:
    """Raises `RestError` 400 with the code for the first parameter that is wrong."""
    to = endpoint(form, "To", NO_TO, BAD_TO)
    from_ = endpoint(form, "From", NO_FROM, BAD_FROM)
    digits = form.text("SendDigits")
    if not _DIGITS.fullmatch(digits):
        raise bad(BAD_SEND_DIGITS, "SendDigits may hold 0-9 A-D # * w W, 32 of them at most")
    application = form.text("ApplicationSid")
    if application and not _APPLICATION.fullmatch(application):
        raise bad(BAD_APPLICATION, "ApplicationSid has to be AP and 32 hex digits")
    # An application brings its own URLs: those of the request are then ignored.
    target, twiml = (f"app:{application}", "") if application else instructions(form)
    if not target and not twiml:
        raise bad(BAD_URL, "One of Url, Twiml and ApplicationSid is needed")
    return NewCall(
        account_sid=account_sid,
        to=to,
        from_=from_,
        target=target,
        twiml=twiml,
        method=form.method("Method"),
        fallback="" if application else form.target("FallbackUrl"),
        fallback_method=form.method("FallbackMethod"),
        status_callback="" if application else form.url("StatusCallback"),
        status_callback_method=form.method("StatusCallbackMethod"),
        status_callback_events=(form.words("StatusCallbackEvent", "completed") & EVENTS)
        or frozenset({"completed"}),
        timeout_seconds=form.whole("Timeout", 60, 1, 600, BAD_TIMEOUT),
        time_limit_seconds=form.whole("TimeLimit", 14400, 1, _DAY, BAD_PARAMETER),
        send_digits=digits,
        record=form.flag("Record"),
        username=login(form, "SipAuthUsername", LONG_SIP_USERNAME, BAD_SIP_USERNAME),
        password=login(form, "SipAuthPassword", LONG_SIP_PASSWORD, BAD_SIP_PASSWORD),
        # Keys that are sent and a machine that is listened to would disturb each other.
        detection=None if digits else detection_order(form),
    )


def detection_order(form: Form) -> MachineDetection | None:
    """How whoever answers is told apart, if `MachineDetection` says so.  Without
    `AsyncAmd` the call's instructions wait for it."""
    mode = form.text("MachineDetection").lower()
    if mode not in {"", "none", "enable", "detectmessageend"}:
        raise bad(BAD_DETECTION, "MachineDetection has to be Enable or DetectMessageEnd")
    is_async = form.flag("AsyncAmd")

    def number(what: str) -> int:
        return form.whole(f"MachineDetection{what}", *DETECTION_TIMES[what], BAD_DETECTION)

    wanted = MachineDetection(
        to_end=mode == "detectmessageend",
        timeout_seconds=number("Timeout"),
        speech_ms=number("SpeechThreshold"),
        speech_end_ms=number("SpeechEndThreshold"),
        silence_ms=number("SilenceTimeout"),
        is_awaited=not is_async,
        callback=form.url("AsyncAmdStatusCallback") if is_async else "",
        callback_method=form.method("AsyncAmdStatusCallbackMethod"),
    )
    return None if mode in {"", "none"} else wanted


def instructions(form: Form) -> tuple[str, str]:
    """(target, twiml), one of them "" or both; Url goes before Twiml."""
    target, twiml = form.target("Url"), form.text("Twiml")
    if target:
        return target, ""
    if len(twiml) > MAX_TWIML:
        raise bad(TWIML_TOO_LARGE, f"Twiml may have {MAX_TWIML} characters; fetch longer documents by Url")
    return "", twiml


def login(form: Form, name: str, too_long: int, wrong: int) -> str:
    """A user name or password to be proved by digest."""
    text = form.text(name)
    if len(text) > _LONGEST_LOGIN:
        raise bad(too_long, f"{name} must have fewer than {_LONGEST_LOGIN + 1} characters")
    if not text.isprintable():
        raise bad(wrong, f"{name} may not have control characters")
    return text


def endpoint(form: Form, name: str, missing: int, wrong: int) -> str:
    """A number without its punctuation, `sip:…` or `client:…`, of a form that can be called."""
    text = form.text(name)
    if not text:
        raise bad(missing, f"{name} is needed")
    if IS_SIP.match(text):
        return check_sip_address(name, text, wrong)
    if _CLIENT.fullmatch(text):
        return text
    number = text.removeprefix("tel:").translate(_PUNCTUATION)
    if _NUMBER.fullmatch(number):
        return number
    raise bad(wrong, f"{name} is not a phone number, a SIP address or a client name: {text[:100]}")
