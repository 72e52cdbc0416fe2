"""Which voice of the offline engine speaks: the nearest one by language, then by sex.  Pure.

Applications of the field name `man`, `woman`, `alice`, `Polly.<Name>[-Neural]` or
`Google.<language>-<kind>-<letter>`; the last two imply a language, which then goes before the one
asked for.  An unknown voice speaks the language asked for, an unknown language falls back to its
nearest relative or to American English.
"""

from __future__ import annotations

import re
from typing import Final

FALLBACK: Final = "gmw/en-US"

# Language tag in lower case -> voice file of espeak-ng.  A tag is looked up whole, then without its
# last part, and so on.
_LANGUAGES: Final = {
    "en": "gmw/en-US", "en-us": "gmw/en-US", "en-ca": "gmw/en-US", "en-gb": "gmw/en", "en-gb-wls": "gmw/en",
    "en-au": "gmw/en", "en-nz": "gmw/en", "en-ie": "gmw/en", "en-in": "gmw/en", "en-za": "gmw/en",
    "en-sg": "gmw/en", "en-hk": "gmw/en", "en-ng": "gmw/en", "en-ke": "gmw/en", "en-gh": "gmw/en",
    "es": "roa/es-419", "es-es": "roa/es", "fr": "roa/fr", "fr-be": "roa/fr-BE", "fr-ch": "roa/fr-CH",
    "pt": "roa/pt-BR", "pt-pt": "roa/pt", "zh": "sit/cmn", "zh-hk": "sit/yue", "yue": "sit/yue",
    "cmn": "sit/cmn", "wuu": "sit/cmn", "no": "gmq/nb", "nb": "gmq/nb", "nn": "gmq/nb",
    "de": "gmw/de", "nl": "gmw/nl", "af": "gmw/af", "lb": "gmw/lb", "da": "gmq/da", "sv": "gmq/sv",
    "is": "gmq/is", "fo": "gmq/fo", "it": "roa/it", "ro": "roa/ro", "ca": "roa/ca", "gl": "roa/pt",
    "la": "itc/la", "pl": "zlw/pl", "cs": "zlw/cs", "sk": "zlw/sk", "sl": "zls/sl", "hr": "zls/hr",
    "sr": "zls/sr", "bs": "zls/bs", "mk": "zls/mk", "bg": "zls/bg", "ru": "zle/ru", "uk": "zle/uk",
    "be": "zle/be", "lt": "bat/lt", "lv": "bat/lv", "et": "urj/et", "fi": "urj/fi", "hu": "urj/hu",
    "el": "grk/el", "tr": "trk/tr", "az": "trk/az", "kk": "trk/kk", "ky": "trk/ky", "uz": "trk/uz",
    "tk": "trk/tk", "tt": "trk/tt", "ug": "trk/ug", "ar": "sem/ar", "arb": "sem/ar", "he": "sem/he",
    "iw": "sem/he", "am": "sem/am", "om": "cus/om", "mt": "sem/mt", "fa": "ira/fa", "ku": "ira/ku",
    "hi": "inc/hi", "bn": "inc/bn", "gu": "inc/gu", "mr": "inc/mr", "ne": "inc/ne", "pa": "inc/pa",
    "ur": "inc/ur", "sd": "inc/sd", "si": "inc/si", "as": "inc/as", "or": "inc/or", "ta": "dra/ta",
    "te": "dra/te", "kn": "dra/kn", "ml": "dra/ml", "ja": "jpx/ja", "ko": "ko", "vi": "aav/vi",
    "th": "tai/th", "my": "sit/my", "id": "poz/id", "in": "poz/id", "ms": "poz/ms", "jv": "poz/id",
    "su": "poz/id", "fil": "poz/ms", "tl": "poz/ms", "sw": "bnt/sw", "zu": "bnt/sw", "xh": "bnt/sw",
    "sq": "ine/sq", "hy": "ine/hy", "ka": "ccs/ka", "eu": "eu", "cy": "cel/cy", "ga": "cel/ga",
    "gd": "cel/gd", "eo": "art/eo",
}  # fmt: skip

# Amazon Polly's names, by language; capital F or M is the sex of those that follow.
_POLLY: Final = {
    "ar-AE": "F Hala M Zayd", "arb": "F Zeina", "ca-ES": "F Arlet", "cmn-CN": "F Zhiyu", "yue-CN": "F Hiujin",
    "cs-CZ": "F Jitka", "cy-GB": "F Gwyneth", "da-DK": "F Naja Sofie M Mads", "de-AT": "F Hannah",
    "de-CH": "F Sabrina", "de-DE": "F Marlene Vicki M Hans Daniel", "en-AU": "F Nicole Olivia M Russell",
    "en-GB": "F Amy Emma M Brian Arthur", "en-GB-WLS": "M Geraint", "en-IE": "F Niamh",
    "en-IN": "F Aditi Raveena Kajal", "en-NZ": "F Aria", "en-SG": "F Jasmine", "en-ZA": "F Ayanda",
    "en-US": "F Joanna Salli Kimberly Kendra Ivy Ruth Danielle "
    "M Matthew Joey Justin Kevin Stephen Gregory Patrick",
    "es-ES": "F Conchita Lucia Alba M Enrique Sergio Raul", "es-MX": "F Mia M Andres",
    "es-US": "F Lupe Penelope M Miguel Pedro", "fi-FI": "F Suvi", "fr-BE": "F Isabelle",
    "fr-CA": "F Chantal Gabrielle M Liam", "fr-FR": "F Celine Lea M Mathieu Remi", "hi-IN": "F Aditi Kajal",
    "is-IS": "F Dora M Karl", "it-IT": "F Carla Bianca M Giorgio Adriano",
    "ja-JP": "F Mizuki Kazuha Tomoko M Takumi",
    "ko-KR": "F Seoyeon Jihye", "nb-NO": "F Liv Ida", "nl-BE": "F Lisa", "nl-NL": "F Lotte Laura M Ruben",
    "pl-PL": "F Ewa Maja Ola M Jacek Jan", "pt-BR": "F Camila Vitoria M Ricardo Thiago",
    "pt-PT": "F Ines M Cristiano", "ro-RO": "F Carmen", "ru-RU": "F Tatyana M Maxim",
    "sv-SE": "F Astrid Elin", "tr-TR": "F Filiz Burcu",
}  # fmt: skip

_GOOGLE: Final = re.compile(r"Google\.([a-z]{2,3}-[A-Z]{2})-.+", re.ASCII)
_FEMALE_VARIANT: Final = "+f2"
_MALE: Final = frozenset({"man", "male"})


def _polly_voices() -> dict[str, tuple[str, bool]]:
    voices: dict[str, tuple[str, bool]] = {}
    for language, names in _POLLY.items():
        female = True
        for name in names.split():
            if name in {"F", "M"}:
                female = name == "F"
            else:
                voices.setdefault(name.lower(), (language, female))
    return voices


_POLLY_VOICES: Final = _polly_voices()


def choose(voice: str, language: str) -> str:
    """Name of the espeak-ng voice to load, such as `gmw/en-US+f2`."""
    female = voice.lower() not in _MALE and voice != ""
    google = _GOOGLE.fullmatch(voice)
    if google:
        language = google[1]
    elif voice.startswith("Polly."):
        name = voice.removeprefix("Polly.").partition("-")[0].lower()
        language, female = _POLLY_VOICES.get(name, (language, True))
    return _by_language(language) + (_FEMALE_VARIANT if female else "")


def _by_language(tag: str) -> str:
    tag = tag.strip().replace("_", "-").lower()
    while tag:
        found = _LANGUAGES.get(tag)
        if found:
            return found
        tag = tag.rpartition("-")[0]
    return FALLBACK
