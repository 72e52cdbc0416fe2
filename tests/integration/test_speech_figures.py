"""Texts to speak are counted by what came of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callrouter.errors import SpeechFailed
from callrouter.speech.offline import OfflineSpeech
from callrouter.speech.settings import Settings
from metering.prometheus import PrometheusMetrics


async def test_syntheses_are_counted_as_spoken_cached_or_failed(tmp_path: Path) -> None:
    metrics = PrometheusMetrics()
    speech = OfflineSpeech(Settings(cache_dir=tmp_path, workers=1), metrics)
    await speech.start()
    try:
        for _ in range(3):
            await speech.synthesize("Hello", voice="woman", language="en-US")
        with pytest.raises(SpeechFailed):
            await speech.synthesize(" ", voice="woman", language="en-US")
    finally:
        await speech.stop()
    figures = metrics.render().decode()
    assert dict(re.findall(r'speech_syntheses_total{outcome="(\w+)"} (\S+)', figures)) == {
        "spoken": "1.0",
        "cached": "2.0",
        "failed": "1.0",
    }
