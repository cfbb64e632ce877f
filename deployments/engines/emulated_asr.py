"""A recogniser that is a delay of known length: words at a steady rate, `final_ms` for the final transcript.

For measuring the platform. The delay is slept in the thread that calls the engine, as a real engine would work there.
"""

from __future__ import annotations

import threading
import time

from configs.engines import EmulatedAsr as Settings
from deployments.contracts.audio import to_ms
from deployments.contracts.speech import Phrasebook, Transcript

WORDS_PER_S = 3.0
MOST_STREAMS = 256


class EmulatedAsr:
    """An `AsrEngine`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._open_streams = 0

    def open(self, phrasebook: Phrasebook | None) -> EmulatedStream | None:
        """A fresh stream; None when `MOST_STREAMS` are open."""
        with self._lock:
            if self._open_streams >= MOST_STREAMS:
                return None
            self._open_streams += 1
        return EmulatedStream(self)

    def give_back(self) -> None:
        """A stream is closed."""
        with self._lock:
            self._open_streams -= 1


class EmulatedStream:
    """An `AsrStream`."""

    def __init__(self, engine: EmulatedAsr) -> None:
        self._engine = engine
        self._words = engine.settings.text.split()
        self._samples = 0
        self._closed = False

    def feed(self, pcm: bytes) -> Transcript:
        """An interim of the words heard so far."""
        self._samples += len(pcm) // 2
        return self._transcript(self._engine.settings.partial_ms, final=False)

    def finish(self) -> Transcript:
        """All the words."""
        result = self._transcript(self._engine.settings.final_ms, final=True)
        self.close()
        return result

    def close(self) -> None:
        """Give the stream back."""
        if not self._closed:
            self._closed = True
            self._engine.give_back()

    def _transcript(self, delay_ms: float, *, final: bool) -> Transcript:
        began = time.perf_counter()
        time.sleep(delay_ms / 1000)
        count = len(self._words) if final else int(to_ms(self._samples) / 1000 * WORDS_PER_S)
        text = " ".join(self._words[:count])
        engine_ms = (time.perf_counter() - began) * 1000
        complete = count >= len(self._words)
        return Transcript(text, final, len(text), complete, 1.0, "en", engine_ms)
