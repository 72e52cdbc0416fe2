"""Why a call ended, in the numbers of the telephone network (ITU-T Q.850), and as statuses of SIP."""

from __future__ import annotations

NORMAL = 16
BUSY = 17
NOT_RESPONDING = 18
"""It did not even ring."""
NO_ANSWER = 19
REJECTED = 21
TEMPORARY_FAILURE = 41
TIMER_EXPIRED = 102
INTERWORKING = 127
"""Nothing of the telephone network fits."""

_OF_STATUS = {
    400: 41,
    401: 21,
    402: 21,
    403: 21,
    404: 1,
    405: 63,
    406: 79,
    407: 21,
    408: 102,
    410: 22,
    413: 127,
    414: 127,
    415: 79,
    416: 127,
    420: 127,
    421: 127,
    423: 127,
    480: 18,
    481: 41,
    482: 25,
    483: 25,
    484: 28,
    485: 1,
    486: 17,
    488: 88,
    500: 41,
    501: 79,
    502: 38,
    503: 41,
    504: 102,
    505: 127,
    513: 127,
    600: 17,
    603: 21,
    604: 1,
    606: 88,
}
"""RFC 3398 §8.2.6.1.  488 and 606 go by their Warning there; ours are about codecs and addresses: an
incompatible destination."""

_STATUS_OF = {
    1: 404,
    2: 404,
    3: 404,
    17: 486,
    18: 408,
    19: 480,
    20: 480,
    21: 403,
    22: 410,
    23: 410,
    26: 404,
    27: 502,
    28: 484,
    29: 501,
    31: 480,
    34: 503,
    38: 503,
    41: 503,
    42: 503,
    47: 503,
    55: 403,
    57: 403,
    58: 503,
    65: 488,
    70: 488,
    79: 501,
    87: 403,
    88: 503,
    102: 504,
    111: 500,
    127: 500,
}
"""RFC 3398 §7.2.4.1."""

_BY_THE_CALLEE = frozenset({1, BUSY, NOT_RESPONDING, NO_ANSWER, 20, REJECTED, 22, 28})
_VAGUE = frozenset({NORMAL, REJECTED, 31})


def cause_of(status: int) -> int:
    """The cause that a final refusal with a SIP status says of itself."""
    return _OF_STATUS.get(status, INTERWORKING)


def refined(status: int, q850: int) -> int:
    """The SIP status that a refusal amounts to whose Reason names a cause: gateways answer 480 or 503 for
    a telephone that is busy.  What says no more than the status does, and what is not known, leaves it."""
    return status if q850 in _VAGUE else _STATUS_OF.get(q850, status)


def is_final(q850: int) -> bool:
    """It is about the callee or the number: another way there leads to the same."""
    return q850 in _BY_THE_CALLEE
