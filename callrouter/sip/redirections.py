"""Whom a callee may have us call instead: a carrier its own servers, a user of ours what a transfer may
lead to, and any other address itself; more where the settings permit it."""

from __future__ import annotations

from dataclasses import replace

from callrouter.ports import Failed, Redirect
from callrouter.sip.protocol.admission import OriginKind
from callrouter.sip.protocol.outgoing import OutgoingSession
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.redirect_settings import Redirects
from callrouter.sip.referrals import Referrals
from callrouter.sip.settings import Settings
from callrouter.sip.trunks import Trunks


class Redirections:
    def __init__(self, settings: Settings, trunks: Trunks, referrals: Referrals) -> None:
        self._default = settings.redirects
        self._trunks = trunks
        self._referrals = referrals

    def read(self, session: Session, failed: Failed) -> Failed:
        """What a 3xx leads to, as far as it may be followed."""
        if not failed.contacts or not isinstance(session, OutgoingSession):
            return failed
        origin = session.origin
        source = "" if session.way is None else session.way.host
        if origin.kind is OriginKind.USER:
            found = self._of_user(failed.contacts, source)
            by = self._referrals.addresses(origin.name)
            return replace(failed, redirects=found, redirected_by=by)
        trunk = origin.name if origin.kind is OriginKind.TRUNK else ""
        own = self._hosts(trunk) if trunk else frozenset({Uri.parse(session.invitation.uri).host.lower()})
        rule = self._rule(trunk)
        found = tuple(r for c in failed.contacts if (r := _within(c, own, rule, trunk, source)) is not None)
        return replace(failed, redirects=found)

    def _of_user(self, contacts: tuple[str, ...], source: str) -> tuple[Redirect, ...]:
        if self._default is Redirects.OFF:
            return ()
        found = []
        for contact in contacts:
            target = self._referrals.of_user(contact)
            is_elsewhere = target.startswith("sip")
            if target and (self._default is Redirects.ANYWHERE or not is_elsewhere):
                found.append(Redirect(target, mentioned_by=source if is_elsewhere else ""))
        return tuple(found)

    def _rule(self, trunk: str) -> Redirects:
        known = self._trunks.get(trunk)
        return self._default if known is None or known.redirects is None else known.redirects

    def _hosts(self, name: str) -> frozenset[str]:
        trunk = self._trunks.get(name)
        return frozenset() if trunk is None else trunk.hosts


def _within(contact: str, own: frozenset[str], rule: Redirects, trunk: str, source: str) -> Redirect | None:
    """A SIP address at one of the hosts that are `own`; elsewhere only where the rule is so wide."""
    try:
        uri = Uri.parse(contact)
    except ValueError:
        return None
    if rule is Redirects.OFF or not uri.is_sip:
        return None
    host = (uri.get("maddr") or uri.host).lower()
    if host in own and uri.host.lower() in own:
        return Redirect(contact, trunk, "" if trunk else source)
    return Redirect(contact, "", source) if rule is Redirects.ANYWHERE else None
