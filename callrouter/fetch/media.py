"""Audio files that documents play: fetched once, kept on disk, refreshed as the server asks.

A file is stored under the SHA-256 of its bytes, and a small JSON note under the SHA-256 of its URL
remembers which bytes the URL had and until when that may be believed (RFC 9111).  Without word from
the server a note is checked each time; no answer but an error is served from the cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import structlog

from callrouter.cachefolder import CacheFolder
from callrouter.errors import FetchFailed, StartupError
from callrouter.fetch import failures
from callrouter.fetch.address import Address, without_credentials
from callrouter.fetch.body import chunks
from callrouter.fetch.freshness import fresh_seconds
from callrouter.fetch.settings import Settings
from callrouter.ports import AudioFile
from callrouter.singleflight import SingleFlight

log = structlog.get_logger(__name__)

Read = Callable[[aiohttp.ClientResponse, Address], Awaitable[AudioFile]]
_WRITE_BYTES: Final = 1 << 18
_NOTES_SHARE: Final = 64
"""Notes may take up to this fraction of the cache's size, beside it."""


class Download(Protocol):
    async def __call__(self, url: str, headers: dict[str, str], read: Read) -> AudioFile:
        """GET `url` and hand the answer to `read`.  Raises `FetchFailed`."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a URL."""

    digest: str
    """SHA-256 of its bytes, in hex: the name of the file."""
    content_type: str
    etag: str
    last_modified: str
    fresh_until: float
    """Seconds since the epoch."""


class MediaCache:
    """Fetches audio through `download` and keeps it under `settings.media_cache_dir`."""

    def __init__(self, settings: Settings, download: Download) -> None:
        self._settings = settings
        self._folder = CacheFolder(settings.media_cache_dir, ".audio", settings.media_cache_bytes)
        self._notes = CacheFolder(
            settings.media_cache_dir, ".json", settings.media_cache_bytes // _NOTES_SHARE
        )
        self._download = download
        self._flights: SingleFlight[AudioFile] = SingleFlight()

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self._folder.prepare)
            await asyncio.to_thread(self._notes.prepare)
        except OSError as error:
            raise StartupError(
                f"the audio cache {self._folder.path} cannot be used: {error}; "
                "set fetch.media_cache_dir to a folder this user may write to"
            ) from error

    async def stop(self) -> None:
        await self._flights.stop()

    async def get(self, url: str) -> AudioFile:
        """The audio at `url`.  Raises `FetchFailed`."""
        return await self._flights.do(url, lambda: self._get(url))

    async def _get(self, url: str) -> AudioFile:
        note = await asyncio.to_thread(self._recall, url)
        if note is not None and note.fresh_until > time.time():
            return self._file(note)
        headers = {}
        if note is not None and note.etag:
            headers["If-None-Match"] = note.etag
        if note is not None and note.last_modified:
            headers["If-Modified-Since"] = note.last_modified

        async def read(response: aiohttp.ClientResponse, address: Address) -> AudioFile:
            if response.status == 304 and note is not None:
                renewed = _note(response, note.digest, note.content_type, note)
                await asyncio.to_thread(self._remember, url, renewed)
                return self._file(renewed)
            _require_audio(response, address)
            fetched = await self._store(response)
            await asyncio.to_thread(self._remember, url, fetched)
            return self._file(fetched)

        return await self._download(url, headers, read)

    async def _store(self, response: aiohttp.ClientResponse) -> Note:
        partial = self._folder.partial()
        try:
            digest = await self._save(response, partial)
            await asyncio.to_thread(self._folder.publish, partial, digest)
        except aiohttp.ClientError:
            raise  # Some are OSErrors too, but they are about the network.
        except OSError as error:
            raise _unwritable(response, error) from error
        finally:
            _discard(partial)
        return _note(response, digest, response.content_type, None)

    async def _save(self, response: aiohttp.ClientResponse, partial: Path) -> str:
        """Write the body to `partial`; its SHA-256."""
        digest = hashlib.sha256()
        pending = bytearray()
        with partial.open("wb") as file:
            async for chunk in chunks(response, self._settings.media_file_bytes):
                digest.update(chunk)
                pending += chunk
                if len(pending) >= _WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(pending))
                    pending.clear()
            await asyncio.to_thread(file.write, bytes(pending))
        if digest.digest() == hashlib.sha256().digest():
            url = str(response.url)
            raise failures.failed(failures.EMPTY, f"The audio file is empty ({url})", url=url)
        return digest.hexdigest()

    def _file(self, note: Note) -> AudioFile:
        path = self._folder.find(note.digest) or self._folder.file(note.digest)
        return AudioFile(path=path, content_type=note.content_type, key=note.digest)

    def _recall(self, url: str) -> Note | None:
        """What is known of `url`, if its bytes are still there."""
        path = self._notes.find(_key(url))
        if path is None:
            return None
        try:
            note = Note(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            log.warning("media_cache_note_unreadable", url=without_credentials(url), error=str(error))
            return None
        return note if self._folder.find(note.digest) else None

    def _remember(self, url: str, note: Note) -> None:
        partial = self._notes.partial()
        partial.write_text(json.dumps(asdict(note)))
        self._notes.publish(partial, _key(url))


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _require_audio(response: aiohttp.ClientResponse, address: Address) -> None:
    if not 200 <= response.status < 300:
        url = address.sent
        message = f"The audio file cannot be had: the server answered {response.status} ({url})"
        raise failures.failed(failures.HTTP_STATUS, message, url=url, status=response.status)


def _note(response: aiohttp.ClientResponse, digest: str, content_type: str, before: Note | None) -> Note:
    headers = response.headers
    now = time.time()
    return Note(
        digest=digest,
        content_type=content_type,
        etag=headers.get("ETag", before.etag if before else ""),
        last_modified=headers.get("Last-Modified", before.last_modified if before else ""),
        fresh_until=now + fresh_seconds(headers.get("Cache-Control", ""), headers.get("Expires", ""), now),
    )


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)


def _unwritable(response: aiohttp.ClientResponse, error: OSError) -> FetchFailed:
    url = str(response.url)
    log.error("media_cache_unwritable", error=str(error))
    return failures.failed(failures.CONNECTION_FAILED, f"The audio cache cannot be written: {error}", url=url)
