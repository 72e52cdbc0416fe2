"""What the engine says when it cannot begin."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from callrouter.errors import StartupError
from callrouter.media import RtpMedia, Settings


async def test_an_address_of_another_machine_is_refused_by_name() -> None:
    media = RtpMedia(Settings(bind_v4=IPv4Address("192.0.2.77")))
    with pytest.raises(StartupError, match=r"media\.bind_v4: RTP cannot be received on 192\.0\.2\.77"):
        await media.start()
