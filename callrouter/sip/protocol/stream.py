"""The one audio stream of a call: what we said, what they said, and what follows (RFC 3264)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from callrouter.ports import Direction, MediaAddress, NegotiatedAudio, Passing
from callrouter.sip.protocol import offer, sdp
from callrouter.sip.protocol.addresses import Network
from callrouter.sip.protocol.anchoring import anchored
from callrouter.sip.protocol.browser import OwnCredentials, OwnEnd
from callrouter.sip.protocol.crypto import OwnKeys, SrtpPolicy
from callrouter.sip.protocol.noise import NoisePolicy
from callrouter.sip.protocol.offer import Agreement, Description, Terms
from callrouter.sip.protocol.passage import Passage

_RECEIVING = (Direction.SENDRECV, Direction.SENDONLY)
_UNHEARD = (Direction.RECVONLY, Direction.INACTIVE)
"""They want to hear nothing of us."""


class OutOfOrder(RuntimeError):
    """A step of this program's own that its state does not allow: a mistake in here, not of a peer."""


class Stream:
    __slots__ = (
        "_known",
        "_known_held",
        "_mentionable",
        "_ours",
        "_terms",
        "_token",
        "agreed",
        "hold_offered",
        "hold_wanted",
        "passage",
        "source",
    )

    def __init__(
        self,
        codecs: tuple[str, ...],
        token: Callable[[int], str],
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        fingerprint: str = "",
        mentionable: tuple[Network, ...] = (),
        noise: NoisePolicy = NoisePolicy.MIRROR,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        """`fingerprint` is that of the certificate for browsers; "": they cannot be served.
        `mentionable`: where anybody may have us send to.  `withheld`: as `Terms` has it."""
        self._mentionable = mentionable
        self.source = ""
        """Address that their descriptions come from, which bounds what those may name; "": nothing does."""
        self._token = token
        end = OwnEnd(fingerprint, OwnCredentials(token)) if fingerprint else None
        self._terms = Terms(codecs, srtp, OwnKeys(token), end, noise=noise, withheld=withheld)
        self.agreed: Agreement | None = None
        self.passage = Passage()
        self.hold_wanted = False
        self.hold_offered = False
        self._ours: Description | None = None
        self._known: NegotiatedAudio | None = None
        """As the owner was told last."""
        self._known_held = False

    def fork(self) -> Stream:
        """The same offer of ours, answered by somebody else."""
        other = Stream(self._terms.codecs, self._token)
        other._terms = self._terms
        other._mentionable, other.source = self._mentionable, self.source
        other._ours = self._ours
        other.hold_wanted = self.hold_wanted
        other.passage = self.passage.fork()
        return other

    def succeed(self, other: Stream) -> None:
        """Another far end takes the place of that of `other`: the owner, and what it wants, are the same."""
        self.passage.is_open = other.passage.is_open
        self.hold_wanted = other.hold_wanted
        self._known_held = other._known_held

    # -- what holds

    @property
    def preferred(self) -> str:
        """The codec to be offered or chosen first; "" = in the order there is."""
        return self._terms.preferred

    @property
    def audio(self) -> NegotiatedAudio | None:
        """What was agreed, as far as our own hold lets it go."""
        if self.agreed is None:
            return None
        audio = self.agreed.audio
        direction = self._own_direction(audio.direction)
        return audio if direction is audio.direction else replace(audio, direction=direction)

    @property
    def local(self) -> MediaAddress | None:
        """Where we said that we receive."""
        return None if self._ours is None else self._ours.local

    def tell(self) -> NegotiatedAudio | None:
        """The audio, which the owner is being told now."""
        self._known = self.audio
        return self._known

    def news(self) -> NegotiatedAudio | None:
        """The audio, if the owner does not know it yet."""
        audio = self.audio
        if audio is None or audio == self._known:
            return None
        self._known = audio
        return audio

    @property
    def is_held(self) -> bool:
        """The far end wants to hear nothing of us."""
        return self.agreed is not None and self.agreed.is_hold

    def held_news(self) -> bool | None:
        """Whether it does, if the owner does not know it yet."""
        if self.is_held is self._known_held:
            return None
        self._known_held = self.is_held
        return self.is_held

    def _own_direction(self, direction: Direction) -> Direction:
        if not self.hold_wanted:
            return direction
        return Direction.SENDONLY if direction in _RECEIVING else Direction.INACTIVE

    # -- what they say

    def protect(self, policy: SrtpPolicy) -> None:
        """Before anything is said or read."""
        if policy is not self._terms.srtp:
            self._terms = self._terms._replace(srtp=policy)

    def prefer(self, codec: str) -> None:
        """Before anything is said: offer this one first, and choose it of those that are offered."""
        if codec != self._terms.preferred:
            self._terms = self._terms._replace(preferred=codec)

    def offer_to_browser(self) -> None:
        """Before anything is said: the far end needs what browsers do."""
        self._terms = self._terms._replace(for_browser=True)

    def read(self, body: bytes, *, is_answer: bool = False) -> Agreement:
        """What a description of theirs leads to: an offer, or the answer to one of ours.  Raises
        `ValueError` (`NothingFits` among them)."""
        before = None if self.agreed is None else self.agreed.audio
        remote = anchored(sdp.parse(body), self.source, self._mentionable)
        try:
            agreed = offer.agree(remote, self._terms, before=before, is_answer=is_answer)
        except offer.NothingFits:
            if self.agreed is None:
                raise
            silent = replace(self.agreed.audio, direction=Direction.INACTIVE)
            if self.passage.takes(remote.media):
                return self.agreed._replace(audio=silent, lines=remote.media, has_audio=False, is_hold=False)
            if is_answer or not self.agreed.is_switched_off_in(remote.media):
                raise
            return self.agreed._replace(audio=silent, lines=remote.media, is_hold=True)
        # Whoever is told to listen says nothing about itself.
        is_told = is_answer and self.hold_offered
        is_hold = self.is_held if is_told else agreed.audio.direction in _UNHEARD
        return agreed._replace(is_hold=True) if is_hold else agreed

    @property
    def passes(self) -> frozenset[str]:
        """Kinds of lines that may be passed: none with a browser, which has everything at one port."""
        is_browser = self.agreed is not None and self.agreed.audio.browser is not None
        return frozenset() if is_browser else self.passage.kinds

    @property
    def passed_to_us(self) -> Passing:
        """Of what they described last the lines that may be passed on, and whether there is audio."""
        if self.agreed is None:
            return Passing()
        return Passing(self.passage.passable(self.agreed.lines), self.agreed.has_audio)

    def offered_by(self, body: bytes) -> Passing:
        """What an offer of theirs wants passed.  Raises `ValueError`."""
        agreed = self.read(body)
        return Passing(self.passage.passable(agreed.lines), agreed.has_audio)

    def must_ask(self, body: bytes) -> bool:
        """Whether an offer of theirs is for others to answer too.  Raises `ValueError`."""
        if not self.passage.is_open or not self.passes:
            return False
        offered = self.offered_by(body)
        written = self.passage.written
        if offered.has_audio and written.has_audio and not (offered.lines or written.lines):
            return False
        known = {line.slot for line in written.lines}
        return offered != self.passed_to_us or any(line.slot not in known for line in offered.lines)

    # -- what we say

    def describe(self, local: MediaAddress) -> Description:
        """Our description: the same again for the same address, for an answer given twice is one
        answer (RFC 3261 §13.2.1)."""
        if self._ours is None:
            session_id = int(self._token(4), 16) & 0x7FFFFFFF
            self._ours = Description(session_id, 1, local)
        elif self._ours.local != local:
            self._ours = self._ours.next_version(local)
        return self._ours

    def first_offer(self, local: MediaAddress, *, is_secret: bool = False) -> bytes:
        """`is_secret`: nobody but the next hop can read it."""
        ours = self.describe(local)
        passed = self.passage.in_offer()
        return offer.write_offer(ours, Direction.SENDRECV, self._terms, is_secret=is_secret, passed=passed)

    def first_answer(self, local: MediaAddress) -> bytes:
        """To the offer of their INVITE; b"" when it had none."""
        if self.agreed is None:
            return b""
        passed = self.passage.in_answer(self.agreed.lines, has_audio=True)
        return offer.write_answer(self.describe(local), self.agreed, terms=self._terms, passed=passed)

    def next_offer(self) -> bytes:
        """Our offer within the call, held or not as is wanted now."""
        direction = Direction.SENDONLY if self.hold_wanted else Direction.SENDRECV
        self.hold_offered = self.hold_wanted
        passed = self.passage.in_offer()
        settled = self._settled()._replace(has_audio=self.passage.written.has_audio)
        return offer.write_renewal(self._renewed(), settled, direction, self._terms, passed)

    def next_answer(self) -> bytes:
        """Our answer within the call, to what `agreed` was read from."""
        agreed = self._settled()
        self.hold_offered = self.hold_wanted
        direction = self._own_direction(agreed.audio.direction)
        passed = self.passage.in_answer(agreed.lines, has_audio=agreed.has_audio)
        return offer.write_answer(self._renewed(), agreed, direction, self._terms, passed)

    def _settled(self) -> Agreement:
        if self.agreed is None:
            raise OutOfOrder("nothing has been agreed yet")
        return self.agreed

    def _renewed(self) -> Description:
        if self._ours is None:
            raise OutOfOrder("nothing has been described yet")
        self._ours = self._ours.next_version(self._ours.local)
        return self._ours
