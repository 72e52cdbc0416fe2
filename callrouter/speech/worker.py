"""A child process that speaks: one JSON order a line on standard input, one JSON answer a line on
standard output.  Run as a script; it imports nothing of this package.

    {"text": "Hello", "voice": "gmw/en-US", "path": "/…/partial"}  ->  {"frames": 12345}
                                                                   or  {"error": "…"}

The first line it writes is `{"engine": "1.52.0", "rate": 22050}`.  The audio is a 16-bit mono WAV.
espeak-ng keeps global state and is not thread-safe, so each process has it for itself; a crash
costs one order.  It ends when its standard input does.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import wave
from typing import IO, Any, Final

import espeakng_loader

# Constants of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2
_INITIALIZE_DONT_EXIT: Final = 0x8000
_POS_CHARACTER: Final = 1
_CHARS_UTF8: Final = 1

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Engine:
    """The library, loaded and initialised.  Raises `OSError` when it cannot be."""

    def __init__(self) -> None:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate: int = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT)
        if self.rate <= 0:
            raise OSError("espeak-ng found no voice data")
        library.espeak_Info.restype = ctypes.c_char_p
        self.version: str = library.espeak_Info(None).decode()
        self._library = library
        self._file: wave.Wave_write | None = None
        self._callback = _Callback(self._take)  # kept: the library holds only a pointer to it
        library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, path: str) -> int:
        """Write `text` to a WAV at `path`; the number of frames.  Raises `ValueError`."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"there is no voice {voice}")
        encoded = text.encode()
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            self._file = file
            status = self._library.espeak_Synth(
                encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
            )
            self._file = None
            if status != 0:
                raise ValueError(f"espeak-ng failed with status {status}")
            return file.getnframes()

    def _take(self, samples: Any, count: int, _events: object) -> int:
        if samples and count > 0 and self._file is not None:
            self._file.writeframesraw(ctypes.string_at(samples, count * 2))
        return 0


def serve(orders: IO[str], answers: IO[str]) -> None:
    """Answer orders until they end."""

    def answer(**what: object) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        engine = Engine()
    except OSError as error:
        answer(error=f"the speech library cannot be used: {error}")
        return
    answer(engine=engine.version, rate=engine.rate)
    for line in orders:
        order = json.loads(line)
        try:
            answer(frames=engine.speak(order["text"], order["voice"], order["path"]))
        except (OSError, ValueError) as error:
            answer(error=str(error))


def main() -> None:
    # Ctrl-C reaches the whole process group, but calls are still being drained: stdin decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the library prints must not get between the answers
    with open(0, encoding="utf-8", closefd=False) as orders:
        try:
            serve(orders, answers)
        except BrokenPipeError:
            os._exit(1)  # the server was killed; writing what is buffered would only fail again


if __name__ == "__main__":
    main()
