"""How the parties of a call are named to applications.  No I/O."""

from __future__ import annotations

from urllib.parse import unquote

from dispatcher.numbers import normalised

_NOBODY = "anonymous.invalid"
"""Host of whoever is not to be known."""


def user_of(uri: str) -> str:
    """The user part of a SIP or tel URI, unescaped, without its parameters; "" when it has none."""
    scheme, _, rest = uri.strip("<> ").partition(":")
    user = rest if scheme.lower() == "tel" else rest.rpartition("@")[0]
    return unquote(user.partition(";")[0].partition(":")[0])


def party_of(uri: str) -> str:
    """How a SIP party is shown to applications: its number where the user part is one, `anonymous` where it
    withholds that (RFC 3323), else its URI."""
    if not uri:
        return ""
    start, end = uri.find("<"), uri.find(">")
    bare = uri[start + 1 : end] if 0 <= start < end else uri
    number = normalised(user_of(bare))
    if number.removeprefix("+").isdecimal():
        return number
    userinfo, at, host = bare.rpartition("@")
    host = host.partition(";")[0]
    if host.partition(":")[0].lower() == _NOBODY:
        return "anonymous"
    return userinfo + at + host
