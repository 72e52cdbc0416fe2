"""Reads bodies of answers within limits, whatever the server says or sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from callrouter.fetch import failures


async def chunks(response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    """The decoded body, piece by piece.  Raises `FetchFailed` 11750 as soon as it passes `limit`
    bytes: a compressed bomb is never unpacked further."""
    _refuse_announced(response, limit)
    size = 0
    async for chunk in response.content.iter_chunked(65536):
        size += len(chunk)
        if size > limit:
            raise _too_large(response, limit)
        yield chunk


async def read_whole(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The decoded body.  Raises `FetchFailed` 11750 if it is longer than `limit` bytes."""
    _refuse_announced(response, limit)
    whole = await response.content.readany()
    while len(whole) <= limit and (more := await response.content.readany()):
        whole += more
    if len(whole) > limit:
        raise _too_large(response, limit)
    return whole


def _refuse_announced(response: aiohttp.ClientResponse, limit: int) -> None:
    announced = response.content_length
    if announced is not None and announced > limit:
        raise _too_large(response, limit)


def _too_large(response: aiohttp.ClientResponse, limit: int) -> Exception:
    url = str(response.url)
    return failures.failed(failures.TOO_LARGE, f"The answer is larger than {limit} bytes ({url})", url=url)
