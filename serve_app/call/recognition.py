"""One utterance on its way through the recogniser: pieces as they are spoken, then the final transcript.

The session keeps the utterance's audio; a recogniser that lost its state (a new replica, an evicted stream) says so and
gets the whole again. A piece that could not be sent is simply part of the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deployments.contracts.errors import StageFailed
from deployments.contracts.ports import AsrPort
from deployments.contracts.speech import NeedAudio, Phrasebook, SpeechPiece, Transcript
from serve_app.call.ear import Ear

log = logging.getLogger(__name__)

MOST_RESENDS = 3


class Recognition:
    """The recogniser's view of one utterance."""

    def __init__(
        self,
        asr: AsrPort,
        ear: Ear,
        phrasebook: Phrasebook,
        utterance: str,
        from_sample: int,
        step_samples: int,
        language: str | None,
        on_interim: Callable[[Transcript], None],
    ) -> None:
        self._asr = asr
        self._ear = ear
        self._phrasebook = phrasebook
        self.utterance = utterance
        self._from = from_sample
        self._step = step_samples
        self._language = language
        self._on_interim = on_interim
        self._sent = 0
        """Samples of the utterance the recogniser has."""
        self._turn = asyncio.Lock()
        self._over = False
        self.newest: Transcript | None = None

    @property
    def complete(self) -> bool | None:
        """Whether the recogniser believes the sentence is whole."""
        return self.newest.complete if self.newest else None

    async def follow(self, audio_came: asyncio.Event) -> None:
        """Send pieces as the caller speaks, until `finish` or `drop`. A failed piece only delays the interim."""
        while not self._over:
            await audio_came.wait()
            audio_came.clear()
            if self._over or self._ear.heard - self._from - self._sent < self._step:
                continue
            async with self._turn:
                if self._over:
                    return
                try:
                    interim = await self._send(self._ear.heard, last=False)
                except StageFailed as error:
                    log.warning("interim_failed", extra={"utterance": self.utterance, "code": error.code})
                    continue
            if not self._over and (self.newest is None or interim.text != self.newest.text):
                self._on_interim(interim)
            self.newest = interim

    async def finish(self, until_sample: int) -> Transcript:
        """The turn has ended there: the final transcript. Raises `StageFailed`."""
        self._over = True
        async with self._turn:
            return await self._send(until_sample, last=True)

    async def drop(self) -> None:
        """The utterance is not wanted any more."""
        self._over = True
        try:
            async with self._turn:  # overtaking a piece under way, it would be undone by it
                await self._asr.forget(self.utterance)
        except StageFailed as error:
            # The recogniser closes what is not fed any more by itself.
            log.info("forget_failed", extra={"utterance": self.utterance, "code": error.code})

    async def _send(self, until_sample: int, *, last: bool) -> Transcript:
        for _ in range(MOST_RESENDS):
            offset = self._sent
            pcm = self._ear.between(self._from + offset, until_sample)
            piece = SpeechPiece(self.utterance, offset, pcm, last, self._language)
            answer = await self._asr.hear(piece, self._phrasebook if offset == 0 else None)
            if isinstance(answer, Transcript):
                self._sent = max(self._sent, until_sample - self._from)
                return answer
            assert isinstance(answer, NeedAudio)
            self._sent = answer.from_sample
        raise StageFailed(
            "asr_forgetful", f"the recogniser lost utterance {self.utterance} {MOST_RESENDS} times", "asr"
        )
