"""Which voice speaks for which name and language."""

from __future__ import annotations

import pytest

from callrouter.speech.voices import FALLBACK, choose


@pytest.mark.parametrize(
    ("voice", "language", "chosen"),
    [
        ("man", "en-US", "gmw/en-US"),
        ("", "", "gmw/en-US"),
        ("woman", "en-US", "gmw/en-US+f2"),
        ("alice", "en-GB", "gmw/en+f2"),
        ("man", "de-DE", "gmw/de"),
        ("man", "de_at", "gmw/de"),
        ("man", "pt-BR", "roa/pt-BR"),
        ("man", "pt-PT", "roa/pt"),
        ("man", "es-MX", "roa/es-419"),
        ("man", "zh-HK", "sit/yue"),
        ("man", "zh-Hant-TW", "sit/cmn"),
        ("man", "tlh-QO", FALLBACK),
        ("Polly.Joanna", "en-US", "gmw/en-US+f2"),
        ("Polly.Matthew-Neural", "en-US", "gmw/en-US"),
        ("Polly.Hans", "en-US", "gmw/de"),
        ("Polly.Lucia-Generative", "en-US", "roa/es+f2"),
        ("Polly.Nobody", "fr-FR", "roa/fr+f2"),
        ("Google.ja-JP-Wavenet-B", "en-US", "jpx/ja+f2"),
        ("Google.cmn-CN-Standard-A", "", "sit/cmn+f2"),
        ("robot9000", "it-IT", "roa/it+f2"),
    ],
)
def test_nearest_voice_is_chosen_by_language_then_by_sex(voice: str, language: str, chosen: str) -> None:
    assert choose(voice, language) == chosen
