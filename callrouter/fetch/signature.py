"""Request signing: the X-Twilio-Signature header, by which an application knows who is asking.

The string that is signed is the URL as requested (query included, fragment not), followed for form
posts by every parameter name and its value; HMAC-SHA1 with the secret, in base64.  Pure.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from itertools import chain
from urllib.parse import urldefrag

HEADER = "X-Twilio-Signature"


def signature(secret: str, url: str, form: Iterable[tuple[str, str]] = ()) -> str:
    """Sign a request.  `form` holds the decoded parameters of a form post, nothing for a GET; a value
    that occurs twice under one name counts once."""
    text = urldefrag(url).url + "".join(chain.from_iterable(_ordered(form)))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def _ordered(form: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    # By code points, which is the order of their UTF-8 bytes too.
    return sorted(set(form))
