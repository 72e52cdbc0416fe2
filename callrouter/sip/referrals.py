"""Telephones that transfer whom they talk to: whether they may, and whom they mean.

A telephone writes a number as it would dial it, at whatever address it knows us by; a carrier writes
it in its own format.  (RFC 3515, RFC 5589.)
"""

from __future__ import annotations

from dataclasses import replace

from callrouter.ports import TransferRequested
from callrouter.sip.protocol.admission import OriginKind
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.numbering import NumberFormat
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.settings import Settings
from callrouter.sip.trunk_settings import Trunk
from callrouter.sip.trunks import AS_WRITTEN, Trunks


class Referrals:
    def __init__(self, settings: Settings, trunks: Trunks, domains: Domains) -> None:
        self._users = {user.name: user for user in settings.registrar.users}
        self._trunks = trunks
        self._domains = domains

    def read(self, session: Session, asked: TransferRequested) -> TransferRequested:
        """The wish of who is at the far end of `session`, in the words of this server."""
        if asked.token:
            return asked
        origin = session.origin
        source = session.dialog.hop.host if session.dialog is not None else ""
        if origin.kind is OriginKind.USER and origin.name in self._users:
            target = self.of_user(asked.target)
            return replace(
                asked,
                target=target,
                may=self._users[origin.name].transfers,
                asker=self.addresses(origin.name),
                mentioned_by=source if target.startswith("sip") else "",
            )
        trunk = self._trunks.get(origin.name) if origin.kind is OriginKind.TRUNK else None
        if trunk is not None:
            return replace(asked, target=self._of_trunk(asked.target, trunk), may=trunk.transfers)
        return replace(asked, may=False)

    def addresses(self, user: str) -> tuple[str, ...]:
        """What calls of a user of ours are from."""
        return self._users[user].addresses

    def of_user(self, target: str) -> str:
        """A user or number of ours, or a SIP address anywhere."""
        uri = _parsed(target)
        if uri is None:
            return ""
        if self._is_ours(uri):
            return self._here(uri, AS_WRITTEN)
        return str(uri) if uri.is_sip else _number(uri, AS_WRITTEN)

    def _of_trunk(self, target: str, trunk: Trunk) -> str:
        """A carrier hands calls on to numbers and to users of ours, and to nobody else."""
        uri = _parsed(target)
        if uri is None:
            return ""
        numbers = self._trunks.format(trunk.name)
        if self._is_ours(uri):
            return self._here(uri, numbers)
        return "" if uri.is_sip and uri.host.lower() not in trunk.hosts else _number(uri, numbers)

    def _is_ours(self, uri: Uri) -> bool:
        return uri.is_sip and (self._domains.serves(uri) or self._domains.has_host(uri))

    def _here(self, uri: Uri, numbers: NumberFormat) -> str:
        return f"client:{uri.plain_user}" if uri.plain_user in self._users else _number(uri, numbers)


def _parsed(target: str) -> Uri | None:
    try:
        return Uri.parse(target)
    except ValueError:
        return None


def _number(uri: Uri, numbers: NumberFormat) -> str:
    """The number that a URI names, as a `tel:` URI; "" where it names none."""
    if uri.scheme not in ("sip", "sips", "tel"):
        return ""
    written = uri.plain_user if uri.is_sip else uri.opaque
    number = numbers.incoming(written.partition(";")[0].translate(_VISUAL))
    return f"tel:{number}" if number.removeprefix("+").isdecimal() else ""


_VISUAL = str.maketrans("", "", "-.() ")
"""Separators that are not part of a number (RFC 3966 §3)."""
