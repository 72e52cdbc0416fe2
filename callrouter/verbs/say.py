"""<Say>: speak a text (docs/verbs.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.errors import SpeechFailed
from callrouter.ports import Interrupt, LiveCall, Next, Outcome, PlayItem, PlaySilence
from callrouter.verbs.prompt import Prompt, play

MAX_CHARACTERS = 4096
DEFAULT_VOICE = "man"
DEFAULT_LANGUAGE = "en-US"

_VOICE = re.compile(r"man|woman|alice|(Polly|Google)\.[A-Za-z0-9_-]+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")

_SSML = frozenset({"break", "emphasis", "lang", "p", "s", "phoneme", "prosody", "say-as", "sub", "w"})
_BREAK_MS = {"none": 0, "x-weak": 0, "weak": 250, "medium": 500, "strong": 750, "x-strong": 1000}
_BREAK_TIME = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)(ms|s)")
_LONGEST_BREAK_MS = 10_000


@dataclass(frozen=True, slots=True)
class SayCodes:
    """Codes of bad attributes, which differ inside Gather."""

    voice: int
    loop: int


PLAIN = SayCodes(voice=13511, loop=13510)
INSIDE_GATHER = SayCodes(voice=13321, loop=13322)


@dataclass(frozen=True, slots=True)
class Say:
    line: int
    pieces: tuple[str | PlaySilence, ...]
    """Texts and the pauses between them, in order."""
    voice: str = DEFAULT_VOICE
    language: str = DEFAULT_LANGUAGE
    loops: int = 1

    @classmethod
    def parse(cls, element: Element, findings: list[Finding], codes: SayCodes = PLAIN) -> Say:
        read = Attributes(element, findings)
        voice = read.text("voice", DEFAULT_VOICE) or DEFAULT_VOICE
        if not _VOICE.fullmatch(voice):
            message = f"<Say>: voice {voice!r} is unknown; the nearest one speaks"
            findings.append(warning(element.line, codes.voice, message))
        language = read.text("language", DEFAULT_LANGUAGE) or DEFAULT_LANGUAGE
        if not _LANGUAGE.fullmatch(language):
            message = f"<Say>: {language!r} is no language tag; {DEFAULT_LANGUAGE} is used"
            findings.append(warning(element.line, 13512, message))
            language = DEFAULT_LANGUAGE
        loops = read.loop(codes.loop)
        read.finish(nested=None)
        return cls(element.line, _pieces(element, findings), voice, language, loops)

    async def prepare(self, call: LiveCall) -> Prompt:
        try:
            items = [await self._item(call, piece) for piece in self.pieces]
        except SpeechFailed as error:
            call.warn(error.code, f"<Say>: {error}", self.line)
            return Prompt(())
        return Prompt(tuple(items), self.loops)

    async def run(self, call: LiveCall) -> Outcome:
        await play(call, await self.prepare(call))
        return Next()

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None

    async def _item(self, call: LiveCall, piece: str | PlaySilence) -> PlayItem:
        if isinstance(piece, PlaySilence):
            return piece
        return await call.speech(piece, voice=self.voice, language=self.language)


def _pieces(element: Element, findings: list[Finding]) -> tuple[str | PlaySilence, ...]:
    """The text cut at its breaks; the rest of SSML keeps its inner text only."""
    pieces: list[str | PlaySilence] = []
    words: list[str] = []
    room = MAX_CHARACTERS
    for part in _flatten(element, findings):
        if isinstance(part, PlaySilence):
            _close(pieces, words)
            if part.ms:
                pieces.append(part)
            continue
        if len(part) > room:
            findings.append(
                warning(element.line, 13521, f"<Say>: only the first {MAX_CHARACTERS} characters are spoken")
            )
        words.append(part[:room])
        room -= min(room, len(part))
        if not room:
            break
    _close(pieces, words)
    if not pieces:
        findings.append(warning(element.line, 13520, "<Say>: there is nothing to say"))
    return tuple(pieces)


def _close(pieces: list[str | PlaySilence], words: list[str]) -> None:
    text = " ".join("".join(words).split())
    if text:
        pieces.append(text)
    words.clear()


def _flatten(element: Element, findings: list[Finding]) -> Iterator[str | PlaySilence]:
    for part in element.content:
        if isinstance(part, str):
            yield part
        elif part.name == "break":
            yield PlaySilence(_break_ms(part))
        elif part.name == "sub" and part.attributes.get("alias"):
            yield part.attributes["alias"]
        else:
            if part.name not in _SSML:
                findings.append(
                    warning(part.line, UNEXPECTED, f"<Say>: <{part.name}> is unknown, its text is spoken")
                )
            yield from _flatten(part, findings)
            if part.name in ("p", "s"):
                yield PlaySilence(_BREAK_MS["medium" if part.name == "p" else "weak"])


def _break_ms(element: Element) -> int:
    if timed := _BREAK_TIME.fullmatch(element.attributes.get("time", "").strip()):
        ms = float(timed[1]) * (1000 if timed[2] == "s" else 1)
        return min(round(ms), _LONGEST_BREAK_MS)
    return _BREAK_MS.get(element.attributes.get("strength", "medium"), _BREAK_MS["medium"])
