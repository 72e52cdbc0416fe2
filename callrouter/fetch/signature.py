"""Request signing: the X-Twilio-Signature header, by which an application knows who is asking.

The string that is signed is the URL as requested (query included, fragment not), followed for form
posts by every parameter name and its value; HMAC-SHA1 with the secret, in base64
(reference: twiml.md §3.1).  Pure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from itertools import chain
from urllib.parse import urldefrag

HEADER = "X-Twilio-Signature"


def signature(secret: str, url: str, form: Iterable[tuple[str, str]] = (), *, algorithm: str = "sha1") -> str:
    """Sign a request.  `form` holds the decoded parameters of a form post, nothing for a GET.

    A value that occurs twice under one name counts once; `sha256` is for the newer kind of shared
    keys.
    """
    text = urldefrag(url).url + "".join(chain.from_iterable(_ordered(form)))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), algorithm)).decode()


def url_with_body_digest(url: str, body: bytes) -> str:
    """The URL to request and sign for a body that is not a form: it carries the body's SHA-256."""
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}bodySHA256={hashlib.sha256(body).hexdigest()}"


def _ordered(form: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    # By code points, which is the order of their UTF-8 bytes too.
    return sorted(set(form))
