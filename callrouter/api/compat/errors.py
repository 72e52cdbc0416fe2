"""Errors of the compatible API: an HTTP status with a TwiML error code."""

from __future__ import annotations

from typing import Final

PERMISSION_DENIED: Final = 20003
METHOD_NOT_ALLOWED: Final = 20004
ACCOUNT_NOT_ACTIVE: Final = 20005
PAGE_SIZE: Final = 20007
NOT_COMPLETE: Final = 20009
NOT_FOUND: Final = 20404
CONFLICT: Final = 20409
TOO_LARGE: Final = 20413
BAD_PARAMETER: Final = 20422
TOO_MANY: Final = 20429
INTERNAL: Final = 20500
UNAVAILABLE: Final = 20503
NO_TO: Final = 21201
BAD_URL: Final = 21205
BAD_SEND_DIGITS: Final = 21206
BAD_TIMEOUT: Final = 21208
BAD_METHOD: Final = 21209
BAD_TO: Final = 21211
BAD_FROM: Final = 21212
NO_FROM: Final = 21213
BAD_APPLICATION: Final = 21218
BAD_CALL_STATE: Final = 21220
LONG_SIP_USERNAME: Final = 21221
BAD_SIP_USERNAME: Final = 21222
LONG_SIP_PASSWORD: Final = 21223
BAD_SIP_PASSWORD: Final = 21224
LONG_SIP_HEADERS: Final = 21227
BAD_SIP_HEADER_NAME: Final = 21228
BAD_SIP_HEADER: Final = 21229
BAD_DETECTION: Final = 21234
BAD_PAGE_TOKEN: Final = 21481
MONO_RECORDING: Final = 16113
TWIML_TOO_LARGE: Final = 32018


class RestError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(path: str) -> RestError:
    return RestError(404, NOT_FOUND, f"The requested resource {path} was not found")


def bad(code: int, message: str) -> RestError:
    return RestError(400, code, message)
