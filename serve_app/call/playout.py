"""The agent's voice on its way out: clauses of audio in, 20 ms frames out, and how much of each clause was heard.

Pure: `next_frame` is called by the door at the moment a frame is to be sent, so there is no queue between the agent
and the wire and the heard position is exact to a frame. A stopped reply falls silent within one frame, faded.
Everything carries the number of its reply; what arrives late for an older one is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from deployments.contracts.audio import (
    FRAME_BYTES,
    FRAME_SAMPLES,
    SAMPLE_BYTES,
    SAMPLE_RATE_HZ,
    SILENT_FRAME,
    samples_in,
)
from deployments.contracts.speech import WordMark

DUCKED_GAIN = 0.18
"""-15 dB: clearly in the background, still there if the caller did not mean to interrupt."""


@dataclass(slots=True)
class _Clause:
    """A clause of a reply: its text, what was played of it."""

    text: str
    aside: bool
    """Said to bridge a silence; no part of the reply."""
    marks: list[WordMark] = field(default_factory=list)
    queued: int = 0
    played: int = 0
    complete: bool = False

    def heard_text(self) -> str:
        """The words whose end has been played."""
        if self.complete and self.queued and self.played >= self.queued:
            return self.text
        marks = self.marks
        if not marks:
            return _words_played(self.text, self.played, self.queued if self.complete else 0)
        end = max((mark.end_char for mark in marks if mark.end_sample <= self.played), default=0)
        return self.text[:end]


def _words_played(text: str, played: int, total: int) -> str:
    """Without marks: as many whole words as the share of the audio played allows; none while the total is unknown."""
    if total <= 0:
        return ""
    reach = len(text) * min(played, total) / total
    end = 0
    for place, character in enumerate(text + " "):
        if character.isspace():
            if place > reach:
                break
            end = place
    return text[:end]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the caller heard of a reply."""

    reply: int
    text: str
    complete: bool


class Playout:
    """The mouth of one call. `changed` is called when a reply's first frame leaves and when the reply has ended."""

    def __init__(
        self,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
        woken: Callable[[], None] = lambda: None,
    ) -> None:
        """`woken` is called when there is something to say after silence."""
        self._clock = clock
        self._changed = changed
        self._woken = woken
        self._reply = -1
        self._clauses: list[_Clause] = []
        self._audio: deque[tuple[_Clause, bytearray]] = deque()
        self._closed = True
        self._cut = False
        self._gain = 1.0
        self._target = 1.0
        self._tail: bytes | None = None
        self.first_frame_s: float | None = None
        """Monotonic clock when the first frame of the current reply (asides not counted) was handed to the sender."""
        self.ended_s: float | None = None
        self.underrun_frames = 0
        """Frames of silence sent inside the current reply because audio was late."""

    @property
    def reply(self) -> int:
        """Number of the current reply; -1 before the first."""
        return self._reply

    @property
    def audible(self) -> bool:
        """The agent is speaking, or is between two clauses of a reply that has begun."""
        return bool(self._audio) or (not self._closed and self.first_frame_s is not None)

    @property
    def queued_s(self) -> float:
        """Seconds of audio that wait to be played."""
        return sum(len(pcm) for _, pcm in self._audio) / (SAMPLE_BYTES * SAMPLE_RATE_HZ)

    def begin(self, reply: int) -> None:
        """A new reply; what was left of an older one is gone."""
        if reply <= self._reply:
            raise ValueError(f"reply numbers only grow: {reply} after {self._reply}")
        if self._audio:
            self._tail = self._fade()
        self._reply = reply
        self._clauses, self._closed, self._cut = [], False, False
        self._audio.clear()
        self._gain = self._target = 1.0
        self.first_frame_s = self.ended_s = None
        self.underrun_frames = 0

    def open_clause(self, reply: int, text: str, *, aside: bool = False) -> None:
        """The following audio speaks `text`."""
        if reply == self._reply and not self._closed:
            self._clauses.append(_Clause(text, aside))

    def add(self, reply: int, pcm: bytes, marks: tuple[WordMark, ...] = ()) -> bool:
        """Queue audio of the open clause; False when the reply is over and the audio was dropped."""
        clause = self._open()
        if reply != self._reply or self._closed or clause is None:
            return False
        clause.marks.extend(marks)
        clause.queued += samples_in(pcm)
        if pcm:
            silent = not self._audio
            self._audio.append((clause, bytearray(pcm)))
            if silent:
                self._woken()
        return True

    def close_clause(self, reply: int) -> None:
        """All audio of the open clause has been added."""
        clause = self._open()
        if reply == self._reply and clause is not None:
            clause.complete = True

    def cut_clause(self, reply: int) -> None:
        """The voice failed: the open clause ends with the audio it has, and with the words of that."""
        if reply == self._reply and (clause := self._open()) is not None:
            end = max((mark.end_char for mark in clause.marks if mark.end_sample <= clause.queued), default=0)
            clause.text, clause.complete = clause.text[:end], True

    def finish(self, reply: int) -> None:
        """No further clause will come; the reply ends when its audio has been played."""
        if reply == self._reply and not self._closed:
            self._closed = True
            if not self._audio:
                self._end()

    def stop(self, reply: int) -> Heard | None:
        """The caller interrupted: silence from the next frame on. None when that reply is not the current one."""
        if reply != self._reply:
            return None
        heard = self.heard()
        self._cut = not heard.complete
        if self._audio:
            self._tail = self._fade()
        self._audio.clear()
        if not self._closed or self.ended_s is None:
            self._closed = True
            self._end()
        return heard

    def duck(self) -> None:
        """The caller may be interrupting: lower the voice."""
        self._target = DUCKED_GAIN

    def unduck(self) -> None:
        """It was nothing: speak up again."""
        self._target = 1.0

    def heard(self) -> Heard:
        """What the caller has heard of the current reply so far."""
        spoken = [clause for clause in self._clauses if not clause.aside]
        text = " ".join(part for part in (clause.heard_text().strip() for clause in spoken) if part)
        complete = (
            self._closed
            and not self._cut
            and not self._audio
            and all(clause.complete and clause.played >= clause.queued for clause in spoken)
        )
        return Heard(self._reply, text, complete)

    def next_frame(self) -> bytes:
        """The next 20 ms (640 bytes). Called once a frame, at the moment it is sent."""
        if self._tail is not None:
            frame, self._tail = self._tail, None
            return frame
        if not self._audio:
            if not self._closed and self.first_frame_s is not None:
                self.underrun_frames += 1
            self._gain = self._target
            return SILENT_FRAME
        frame = self._shape(self._take())
        if not self._audio and self._closed:
            self._end()
        return frame

    def _open(self) -> _Clause | None:
        """The clause that audio belongs to: an aside may have been opened, and closed, inside another clause."""
        return next((clause for clause in reversed(self._clauses) if not clause.complete), None)

    def _take(self) -> bytes:
        frame = bytearray()
        while self._audio and len(frame) < FRAME_BYTES:
            clause, pcm = self._audio[0]
            part = pcm[: FRAME_BYTES - len(frame)]
            del pcm[: len(part)]
            frame += part
            clause.played += samples_in(bytes(part))
            if not pcm:
                self._audio.popleft()
            if self.first_frame_s is None and not clause.aside:
                self.first_frame_s = self._clock()
                self._changed()
        return bytes(frame.ljust(FRAME_BYTES, b"\0"))

    def _shape(self, frame: bytes) -> bytes:
        """Apply the gain, moving to the target over the frame so that nothing clicks."""
        if self._gain == self._target == 1.0:
            return frame
        ramp = np.linspace(self._gain, self._target, FRAME_SAMPLES, dtype=np.float32)
        self._gain = self._target
        return (np.frombuffer(frame, dtype="<i2") * ramp).astype("<i2").tobytes()

    def _fade(self) -> bytes:
        """The next frame of what is being cut off, falling to silence over 20 ms; it counts as not heard."""
        rest = b"".join(bytes(pcm[:FRAME_BYTES]) for _, pcm in list(self._audio)[:2])[:FRAME_BYTES]
        samples = np.frombuffer(rest.ljust(FRAME_BYTES, b"\0"), dtype="<i2")
        ramp = np.linspace(self._gain, 0.0, FRAME_SAMPLES, dtype=np.float32)
        return (samples * ramp).astype("<i2").tobytes()

    def _end(self) -> None:
        self.ended_s = self._clock()
        self._changed()
