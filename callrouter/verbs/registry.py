"""Every verb this server runs, by its element name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import Verb
from callrouter.verbs.dial.dial import Dial
from callrouter.verbs.gather import Gather
from callrouter.verbs.hangup import Hangup
from callrouter.verbs.pause import Pause
from callrouter.verbs.play import Play
from callrouter.verbs.record import Record
from callrouter.verbs.redirect import Redirect
from callrouter.verbs.reject import Reject
from callrouter.verbs.say import Say


class Parse(Protocol):
    def __call__(self, element: Element, findings: list[Finding]) -> Verb:
        """The verb of `element`; what is wrong with it goes to `findings`.  Raises `DocumentError`
        for what TwiML does not count as a warning."""


VERBS: Mapping[str, Parse] = {
    "Dial": Dial.parse,
    "Gather": Gather.parse,
    "Hangup": Hangup.parse,
    "Pause": Pause.parse,
    "Play": Play.parse,
    "Record": Record.parse,
    "Redirect": Redirect.parse,
    "Reject": Reject.parse,
    "Say": Say.parse,
}
