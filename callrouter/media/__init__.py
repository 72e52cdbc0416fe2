"""Speaks and listens: the RTP engine behind the `Media` port."""

from callrouter.media.rtp import RtpMedia
from callrouter.media.settings import Settings

__all__ = ["RtpMedia", "Settings"]
