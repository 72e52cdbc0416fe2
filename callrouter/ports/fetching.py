"""Documents over HTTP, and text to speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from callrouter.ports.media_commands import AudioFile

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """One request for a document.  `url` may carry a fragment with connection overrides."""

    url: str
    method: Literal["GET", "POST"]
    parameters: Parameters
    secret: str
    """Signs the request (X-Twilio-Signature): the account's token or the module's secret."""
    headers: Parameters = ()


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    url: str
    """After redirects: the base of the document's relative URLs."""
    status: int
    content_type: str
    body: bytes
    duration_ms: int


class CookieJar(Protocol):
    """Opaque here: the cookies of one call."""


class Fetcher(Protocol):
    def jar(self) -> CookieJar: ...

    async def document(self, order: FetchOrder, jar: CookieJar) -> FetchedDocument:
        """Raises `FetchFailed` with the TwiML error code for anything that is not a usable
        2xx answer within the limits; the fallback URL is the caller's business."""

    async def media(self, url: str) -> AudioFile:
        """GET with caching, no call parameters.  Raises `FetchFailed`."""

    async def callback(self, order: FetchOrder) -> int:
        """Send a status callback once; the answer's status.  Raises `FetchFailed`."""


class Speech(Protocol):
    async def synthesize(self, text: str, *, voice: str, language: str) -> AudioFile:
        """Cached on disk by text, voice and language.  Raises `SpeechFailed`."""
