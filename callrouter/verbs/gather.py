"""<Gather>: ask for keys (docs/verbs.md).

The prompts are fetched, then played while listening; the first key silences them.  `timeout` starts
when they have ended or at the first key, and anew with every key; one that is down when it is over
counts when it is let go.  Nothing entered: no request, the
next verb runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from callrouter.documents.attributes import Attributes, Method
from callrouter.documents.element import Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.ports import Digits, GoTo, Interrupt, LiveCall, Next, Outcome
from callrouter.verbs.beside import beside
from callrouter.verbs.pause import Pause
from callrouter.verbs.play import Play
from callrouter.verbs.prompt import Prompt, Prompting
from callrouter.verbs.say import INSIDE_GATHER, Say

KEYS = "0123456789*#"
ALL_KEYS = "0123456789*#ABCD"
DEFAULT_TIMEOUT_SECONDS = 5
LONGEST_TIMEOUT_SECONDS = 3600
UNLIMITED = 0

_INPUTS = ("dtmf", "speech")
_MODELS = (
    "default",
    "numbers_and_commands",
    "phone_call",
    "experimental_conversations",
    "experimental_utterances",
    "googlev2_long",
    "googlev2_short",
    "googlev2_telephony",
    "googlev2_telephony_short",
    "deepgram_nova-2",
    "deepgram_nova-3",
)


@dataclass(frozen=True, slots=True)
class Gather:
    line: int
    prompts: tuple[Prompting, ...] = ()
    action: str = ""
    """"" is the current document."""
    method: Method = "POST"
    hears_keys: bool = True
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    finish_on: str = "#"
    """"" when every key is data."""
    num_digits: int = UNLIMITED
    reports_empty: bool = False

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Gather:
        read = Attributes(element, findings)
        inputs = read.choices("input", frozenset({"dtmf"}), _INPUTS, code=13326)
        if "speech" in inputs:
            message = "<Gather>: speech recognition is not available, only keys are heard"
            findings.append(warning(element.line, 13340, message))
        timeout = _seconds_or_auto(read, "timeout", 13313)
        gather = cls(
            line=element.line,
            prompts=_prompts(element, findings),
            action=read.url("action") or "",
            method=read.method(code=13312),
            hears_keys="dtmf" in inputs,
            timeout_seconds=timeout or DEFAULT_TIMEOUT_SECONDS,
            finish_on=_finish_on(read),
            num_digits=read.integer("numDigits", UNLIMITED, code=13314, least=1, most=10_000),
            reports_empty=_reports_empty(read),
        )
        _read_speech(read, "speech" in inputs)
        read.finish(nested=None)
        return gather

    async def run(self, call: LiveCall) -> Outcome:
        with call.listen() as digits:
            prompts = [await prompt.prepare(call) for prompt in self.prompts]
            await call.answer()
            pressed = await self._gather(call, digits, prompts)
        if pressed or self.reports_empty:
            return GoTo(self.action, self.method, (("Digits", pressed),))
        return Next()

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None

    async def _gather(self, call: LiveCall, digits: Digits, prompts: Sequence[Prompt]) -> str:
        if not self.hears_keys:
            await _play_all(call, prompts, stop_digits="")
            await call.sleep(self.timeout_seconds)
            return ""
        pressed = ""
        key = await self._first_key(call, digits, prompts)
        while key and key != self.finish_on:
            pressed += key
            if len(pressed) == self.num_digits:
                break
            key = await self._next_key(digits)
        return pressed

    async def _first_key(self, call: LiveCall, digits: Digits, prompts: Sequence[Prompt]) -> str:
        """The first key, pressed during the prompts or within the timeout after them; "" if none."""
        playing: asyncio.Task[None]
        try:
            async with (
                asyncio.timeout(None) as deadline,
                beside(self._play_then_wait(call, prompts, deadline)) as playing,
            ):
                return await digits.next()
        except TimeoutError:
            # The prompts have ended, or there would be no deadline: well, or with what is raised here.
            playing.result()
            return await digits.held()

    async def _play_then_wait(
        self, call: LiveCall, prompts: Sequence[Prompt], deadline: asyncio.Timeout
    ) -> None:
        """Play, then set the deadline for the first key: at once if the prompts cannot be played."""
        now = asyncio.get_running_loop().time
        try:
            await _play_all(call, prompts, stop_digits=ALL_KEYS)
        except Exception:
            deadline.reschedule(now())
            raise
        deadline.reschedule(now() + self.timeout_seconds)

    async def _next_key(self, digits: Digits) -> str:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await digits.next()
        except TimeoutError:
            return await digits.held()


async def _play_all(call: LiveCall, prompts: Sequence[Prompt], *, stop_digits: str) -> None:
    """As one, so that each joins the one before it to the sample."""
    items = tuple(item for prompt in prompts for item in prompt.items * prompt.loops)
    if items:
        await call.play(items, stop_digits=stop_digits)


def _prompts(element: Element, findings: list[Finding]) -> tuple[Prompting, ...]:
    prompts: list[Prompting] = []
    for child in element.children:
        match child.name:
            case "Say":
                prompts.append(Say.parse(child, findings, INSIDE_GATHER))
            case "Pause":
                prompts.append(Pause.parse(child, findings))
            case "Play":
                play = Play.parse(child, findings)
                if play.digits:
                    message = "<Play>: digits cannot be sent inside <Gather>"
                    findings.append(warning(child.line, 13430, message))
                    continue
                prompts.append(replace(play, unplayable=13325))
            case _:
                message = f"<Gather>: <{child.name}> cannot stand inside, only Say, Play and Pause can"
                findings.append(warning(child.line, 13320, message))
    if stray := element.text:
        message = f"<Gather>: text outside of a verb is ignored: {stray[:40]!r}"
        findings.append(warning(element.line, UNEXPECTED, message))
    return tuple(prompts)


def _seconds_or_auto(read: Attributes, name: str, code: int) -> int | None:
    """Whole seconds; None for `auto`, a bad value or none at all."""
    if (read.raw(name) or "").strip() in ("", "auto"):
        return None
    return read.integer(name, 0, code=code, least=1, most=LONGEST_TIMEOUT_SECONDS) or None


def _finish_on(read: Attributes) -> str:
    return read.characters("finishOnKey", "#", KEYS, code=13310, most=1)


def _reports_empty(read: Attributes) -> bool:
    """Unlike other booleans a bad one is an error (13338)."""
    value = (read.raw("actionOnEmptyResult") or "false").strip().lower()
    if value not in ("true", "false"):
        raise read.fail(13338, f"actionOnEmptyResult is {value!r}, neither true nor false")
    return value == "true"


def _read_speech(read: Attributes, asked: bool) -> None:
    """Check what concerns speech, so that a document is sound wherever it runs."""
    automatic = (read.raw("speechTimeout") or "").strip() == "auto"
    _seconds_or_auto(read, "speechTimeout", 13327)
    read.integer("maxSpeechTime", 60, code=13328, least=1, most=60)
    read.method("partialResultCallbackMethod", code=13329)
    read.url("partialResultCallback")
    hints = read.text("hints", longest=64 * 1024, code=13330).split(",")
    if len(hints) > 500 or any(len(hint.strip()) > 100 for hint in hints):
        read.warn(13330, "hints has more than 500 entries, or one of more than 100 characters")
    read.text("language", longest=35, code=13331)
    read.boolean("bargeIn", True, code=13332)
    read.boolean("profanityFilter", True, code=13333)
    explicit = read.raw("speechModel") is not None
    read.choice("speechModel", "default", _MODELS, code=13334)
    if asked and explicit and automatic:
        read.warn(13335, "speechTimeout auto cannot be used with a speechModel; give whole seconds")
    read.boolean("enhanced", False, code=UNEXPECTED)
    read.boolean("debug", False, code=UNEXPECTED)
