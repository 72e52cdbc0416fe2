"""baresip over TLS and TCP: a telephone somebody else wrote, called and calling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callrouter.ports import Answered, Ended, Failed, OutgoingCall
from tests.e2e.baresip import BARESIP, Baresip
from tests.integration.sip_authority import Authority, listens
from tests.integration.sip_peer import MEDIA, peer

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(BARESIP is None, reason="baresip is not installed")]


class SecureBaresip(Baresip):
    """With a certificate, and an authority it believes."""

    def __init__(self, folder: Path, authority: Authority, transport: str, **options: Any) -> None:
        account = f"<sip:100@localhost;transport={transport}>;regint=0;answermode=auto;audio_codecs=pcmu\n"
        super().__init__(folder, account=account, **options)
        self._authority = authority

    def _write_files(self) -> None:
        super()._write_files()
        own = self._authority.issue("baresip.pem", "localhost")
        with (self.folder / "config").open("a") as config:
            config.write(f"sip_certificate {own.certificate}\nsip_cafile {self._authority.file}\n")


@pytest.mark.parametrize("transport", ["tls", "tcp"])
async def test_baresip_calls_and_is_hung_up_on(transport: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.tls(authority.issue("server.pem", "127.0.0.1", "localhost"))
    async with (
        peer(listen=listens(transport), tls=tls) as ours,
        SecureBaresip(tmp_path / "phone", authority, transport) as phone,
    ):
        await phone.dial(f"sip:bob@127.0.0.1:{ours.port()}")
        await phone.event("CALL_ESTABLISHED")
        assert ours.legs[0].transport == transport
        ours.legs[0].hangup()
        await phone.event("CALL_CLOSED")


@pytest.mark.parametrize("transport", ["tls", "tcp"])
async def test_baresip_is_called_and_hangs_up(transport: str, tmp_path: Path) -> None:
    """Over TLS by the name in its certificate, on the port beside its usual one."""
    authority = Authority(tmp_path)
    tls = authority.tls(authority.issue("server.pem", "127.0.0.1", "localhost"))
    async with (
        peer(listen=listens(transport), tls=tls) as ours,
        SecureBaresip(tmp_path / "phone", authority, transport) as phone,
    ):
        port = phone.port + (1 if transport == "tls" else 0)
        target = f"sip:100@localhost:{port};transport={transport}"
        ours.signalling.place(OutgoingCall(target, "+15550100", "", MEDIA), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered) or ours.told(Failed)))
        assert ours.told(Answered), ours.events
        await phone.command("hangup")
        await ours.wait(lambda: bool(ours.told(Ended)))
