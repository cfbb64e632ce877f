"""The espeak-ng library behind one thread: jobs in, blocks of raw audio out.

espeak keeps one voice, one rate and one callback per *process*, so whatever engines a process builds, they share one
thread that does its initialisation and all synthesis. Jobs wait in line for it: a clause of 200 characters keeps it
busy for about 30 ms (2 shared cores). In: plain text and the name of an espeak voice. Out: 22.05 kHz mono s16le in
blocks of 60 ms.

Calls and structures: espeak-ng's `speak_lib.h` (1.52), https://github.com/espeak-ng/espeak-ng; found through the
package `espeakng_loader`, which ships library and data. GPL-3: it is loaded only when the engine is built.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from deployments.contracts.errors import MissingPart, StageFailed

BLOCK_MS = 60
_MOST_BLOCKS = 8
"""Half a second: larger messages would not travel inline between Ray processes (100 KB)."""
INSTALL_HINT = "espeak-ng is not installed; install it with: pip install 'dukat[embedded-voice]' (GPL-3)"

_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_POSITION_CHARACTER = 1
_TEXT_UTF8 = 1
"""Neither espeakSSML nor espeakPHONEMES with it: "<" and "[[" are text like any other."""
_EVENT_END_OF_LIST = 0
_EVENT_WORD = 1
_MOST_EVENTS = 1_000
"""Far above what one block can hold; bounds the walk should a list ever come without its end."""
_GO_ON = 0
_STOP = 1


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class WordStart:
    """espeak begins to speak a word (or a part of one: a number has many)."""

    char: int
    """Index into the job's text. Within a number espeak's own counting drifts by a few characters."""
    at_ms: int
    """In the job's audio."""


@dataclass(frozen=True, slots=True)
class RawBlock:
    """The next block of a job's audio."""

    pcm: bytes
    """Signed 16-bit little-endian, mono, at the library's rate."""
    words: tuple[WordStart, ...]
    engine_ms: float
    """Time espeak worked on this block."""


@dataclass(slots=True)
class Job:
    """One text to be spoken. Iterate `blocks`; set `cancelled` to stop it."""

    text: str
    """Without control characters: espeak takes some of them for commands."""
    voice: str
    words_per_minute: int
    pitch: int
    cancelled: bool = False
    _out: SimpleQueue[RawBlock | Exception | None] = field(default_factory=SimpleQueue)
    """Unbounded, as its text is not: a reader that is slow must not hold up the other calls' speech."""

    def blocks(self) -> Iterator[list[RawBlock]]:
        """What is ready, one block to `_MOST_BLOCKS` at a time; waits when nothing is. For one reader."""
        while True:
            ready: list[RawBlock] = []
            item = self._out.get()
            while isinstance(item, RawBlock):
                ready.append(item)
                if len(ready) == _MOST_BLOCKS or self._out.empty():
                    break
                item = self._out.get()
            if ready:
                yield ready
            if isinstance(item, Exception):
                raise item
            if item is None:
                return

    def put(self, item: RawBlock | Exception | None) -> None:
        """A block, or how the job ended: None when all is said. For the library's thread."""
        self._out.put(item)


class EspeakLibrary:
    """The loaded library and its thread. Get it from `shared_library`."""

    rate_hz: int

    def __init__(self, library_path: str, data_path: str) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._voice = ""
        self._job: Job | None = None
        self._clock_s = 0.0
        self._callback = _Callback(self._on_audio)
        started: Future[int] = Future()
        # A daemon: it only ever waits for jobs, and the end of the process must not wait for it.
        threading.Thread(target=self._run, args=(library_path, data_path, started), name="espeak", daemon=True).start()
        self.rate_hz = started.result()

    def start(self, job: Job) -> Job:
        """Put the job in line. From any thread."""
        self._jobs.put(job)
        return job

    def _run(self, library_path: str, data_path: str, started: Future[int]) -> None:
        try:
            self._lib = _load(library_path)
            rate_hz = self._lib.espeak_Initialize(_OUTPUT_SYNCHRONOUS, BLOCK_MS, data_path.encode(), _DONT_EXIT)
            if rate_hz <= 0:
                raise MissingPart("voice_data_unusable", f"espeak-ng cannot use its data in {data_path}", "tts")
            self._lib.espeak_SetSynthCallback(self._callback)
        except Exception as error:
            started.set_exception(error)
            return
        started.set_result(rate_hz)
        while True:
            job = self._jobs.get()
            if job.cancelled:
                continue
            try:
                self._speak(job)
            except Exception as error:  # handed to whoever reads the job; the thread must outlive it
                job.put(error)
            else:
                job.put(None)

    def _speak(self, job: Job) -> None:
        self._clock_s = time.perf_counter()
        self._job = job
        if job.voice != self._voice:
            self._voice = ""
            if self._lib.espeak_SetVoiceByName(job.voice.encode()) != 0:
                raise StageFailed("voice_not_loaded", f"espeak-ng has no voice {job.voice!r}", "tts")
            self._voice = job.voice
        # Loading a voice sets its own rate and pitch, so they are set for each job.
        self._lib.espeak_SetParameter(_PARAMETER_RATE, job.words_per_minute, 0)
        self._lib.espeak_SetParameter(_PARAMETER_PITCH, job.pitch, 0)
        text = job.text.encode("utf-8", "replace") + b"\0"
        result = self._lib.espeak_Synth(text, len(text), 0, _POSITION_CHARACTER, 0, _TEXT_UTF8, None, None)
        if result != 0 and not job.cancelled:
            raise StageFailed("synthesis_failed", f"espeak-ng gave error {result}", "tts")

    def _on_audio(self, samples: Any, count: int, events: Any) -> int:
        job = self._job
        if job is None or job.cancelled:
            return _STOP
        now_s = time.perf_counter()
        words = []
        for index in range(_MOST_EVENTS):
            event = events[index]
            if event.type == _EVENT_END_OF_LIST:
                break
            if event.type == _EVENT_WORD:
                words.append(WordStart(char=event.text_position - 1, at_ms=event.audio_position_ms))
        pcm = ctypes.string_at(samples, count * 2) if samples and count > 0 else b""
        if pcm or words:
            job.put(RawBlock(pcm, tuple(words), (now_s - self._clock_s) * 1000))
        self._clock_s = time.perf_counter()
        return _GO_ON


_lock = threading.Lock()
_shared: EspeakLibrary | None = None


def shared_library() -> EspeakLibrary:
    """The library of this process, loaded at the first call. Raises `MissingPart` when it is not installed."""
    global _shared
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise MissingPart("package_missing", INSTALL_HINT, "tts") from error
    with _lock:
        if _shared is None:
            _shared = EspeakLibrary(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
        return _shared


def _load(path: str) -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL(path)
    except OSError as error:
        raise MissingPart("library_missing", f"{path} cannot be loaded: {error}. {INSTALL_HINT}", "tts") from error
    lib.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    lib.espeak_SetSynthCallback.argtypes = (_Callback,)
    lib.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
    lib.espeak_SetParameter.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
    lib.espeak_Synth.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    return lib
