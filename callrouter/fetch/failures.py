"""Names what went wrong with a request: the code and the sentence a developer will read.

Codes are TwiML's.  The outcome is the label under which the metrics count the request.
"""

from __future__ import annotations

import ssl
from typing import Final, Literal

import aiohttp

from callrouter.errors import FetchFailed
from callrouter.fetch.guard import AddressRefused

Outcome = Literal["ok", "http_4xx", "http_5xx", "timeout", "connect", "dns", "tls", "invalid"]

BAD_URL: Final = 11100
HTTP_STATUS: Final = 11200
CONNECT_TIMEOUT: Final = 11201
REFUSED: Final = 11202
TOTAL_TIMEOUT: Final = 11203
CONNECTION_FAILED: Final = 11205
PROTOCOL: Final = 11206
BAD_HOST: Final = 11210
REDIRECTS: Final = 11215
TLS_HANDSHAKE: Final = 11220
TLS_HOST_MISMATCH: Final = 11235
TLS_EXPIRED: Final = 11236
TLS_UNTRUSTED: Final = 11237
BAD_RETRY_POLICY: Final = 11243
TOO_LARGE: Final = 11750
EMPTY: Final = 11770

_OUTCOMES: Final[dict[int, Outcome]] = {
    CONNECT_TIMEOUT: "timeout",
    TOTAL_TIMEOUT: "timeout",
    REFUSED: "connect",
    CONNECTION_FAILED: "connect",
    BAD_HOST: "dns",
    TLS_HANDSHAKE: "tls",
    TLS_HOST_MISMATCH: "tls",
    TLS_EXPIRED: "tls",
    TLS_UNTRUSTED: "tls",
}
# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_VERIFY_EXPIRED: Final = frozenset({9, 10})
_VERIFY_MISMATCH: Final = frozenset({62, 64})

_RETRYABLE: Final = frozenset(
    {CONNECT_TIMEOUT, REFUSED, TOTAL_TIMEOUT, CONNECTION_FAILED, BAD_HOST, TLS_HANDSHAKE}
)


def outcome(failure: FetchFailed) -> Outcome:
    """The metrics label of a failed request."""
    if failure.code == HTTP_STATUS and failure.status >= 500:
        return "http_5xx"
    if failure.code == HTTP_STATUS and failure.status >= 400:
        return "http_4xx"
    return _OUTCOMES.get(failure.code, "invalid")


def failed(code: int, message: str, *, url: str, status: int = 0) -> FetchFailed:
    """A failure with its verdict.  `url` is free of credentials."""
    return FetchFailed(
        message, url=url, code=code, status=status, retryable=code in _RETRYABLE or status >= 500
    )


def classify(error: Exception, url: str) -> FetchFailed:
    """The failure that an exception of aiohttp means."""
    code, message = _verdict(error)
    failure = failed(code, f"{message} ({url})", url=url)
    failure.retryable = failure.retryable and not is_refused_address(error)
    return failure


def is_refused_address(error: Exception) -> bool:
    """Whether it was our own guard that said no."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, AddressRefused)


def _verdict(error: Exception) -> tuple[int, str]:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return CONNECT_TIMEOUT, "The server did not accept a connection in time"
        case TimeoutError():
            return TOTAL_TIMEOUT, "The server did not answer in time"
        case aiohttp.ClientConnectorCertificateError():
            return _certificate(error.certificate_error)
        case aiohttp.ClientSSLError():
            return TLS_HANDSHAKE, f"The TLS handshake failed: {error.os_error}"
        case aiohttp.ClientConnectorError():
            return _connector(error.os_error, dns=isinstance(error, aiohttp.ClientConnectorDNSError))
        case AddressRefused():
            return CONNECTION_FAILED, f"Not allowed: {error}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return CONNECTION_FAILED, "The server closed the connection before it answered"
        case aiohttp.InvalidURL():
            return BAD_URL, "The URL is not valid"
        case aiohttp.ClientError() | ValueError():
            return PROTOCOL, f"The answer is not valid HTTP: {_first_line(error)}"
        case _:
            return CONNECTION_FAILED, f"The connection failed: {_first_line(error)}"


def _connector(cause: OSError, *, dns: bool) -> tuple[int, str]:
    if isinstance(cause, AddressRefused):
        return CONNECTION_FAILED, f"Not allowed: {cause}"
    if dns:
        return BAD_HOST, f"The host name has no address: {cause.strerror or cause}"
    if isinstance(cause, ConnectionRefusedError):
        return REFUSED, "The server refused the connection; nothing listens there"
    if isinstance(cause, ssl.SSLError):
        return TLS_HANDSHAKE, f"The TLS handshake failed: {cause.reason or cause}"
    return CONNECTION_FAILED, f"The connection failed: {cause.strerror or cause}"


def _certificate(cause: Exception) -> tuple[int, str]:
    verify_code = cause.verify_code if isinstance(cause, ssl.SSLCertVerificationError) else 0
    if verify_code in _VERIFY_MISMATCH or (isinstance(cause, ssl.CertificateError) and not verify_code):
        return TLS_HOST_MISMATCH, "The certificate is for another host"
    if verify_code in _VERIFY_EXPIRED:
        return TLS_EXPIRED, "The certificate has expired or is not valid yet"
    return TLS_UNTRUSTED, f"The certificate is not trusted: {cause}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
