"""Whether a path through the phrases is what was said, or only what of the phrases came nearest to it.

In: the best path through the phrases, the best path through single phones, and how loud each frame was. Out: a
confidence in [0, 1], 0 = refused. A refused utterance is asked for once more; one that is taken for another sentence is
answered wrongly. Frames are 10 ms, scores log likelihoods under the best sound at each frame (≤ 0). Pure.

A voice or a line that the model knows badly has low scores throughout. What tells a wrong phrase is how much better
free phones fit the same frames (a likelihood ratio per frame, as in Wessel et al., "Confidence measures for large
vocabulary continuous speech recognition", 2001): over the whole, and at the end, since many phrases begin alike.

The bounds were chosen together, over a grid, for the most sentences right at so many wrong, on the voices and texts of
`phrase_graph.py` and 36 more texts that differ from a question in a word or two. Which point of that frontier is used
(`WORST_END` here, `_LEAVE` there) was decided by the limits of `dukat bench recognition`: there it does as well with
speakers that it had never been run with (2026-11-21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deployments.engines.phrase_graph import SILENCE

LEAST_FRAMES = 15
LEAST_FRAMES_PER_PHONE = 5.5
SHORT_PHONES = 9
LEAST_FRAMES_PER_PHONE_OF_SHORT = 8.5
"""A phrase of so few phones is said slowly; what is quick is another word ("no", "uh huh")."""
MOST_FRAMES_PER_PHONE = 40.0
"""Noise is matched by words of three frames a phone, the least a model of three states allows, or by one phone
stretched over a second; spoken words take 6 to 15."""
WORST_SCORE = -7.0
"""Mean score a frame of the words."""
LOUD_DB = 15.0
"""Below the level that is reached in 5 % of the frames: louder ones are speech."""
MOST_BESIDE = 4
"""Loud frames that may lie beside the words: a grammar would call a word that it lacks a silence."""
_EDGE_FRAMES = 2
"""Around a word, that are its own: boundaries are not exact."""
WORST_WHOLE = -4.2
BEST_WHOLE = -1.9
"""Score a frame that the phrase loses against free phones: confidence 0 and 1. Of what is accepted with more than 0.6,
2 % is wrong; with less, one in six."""
WORST_END = -4.0
"""The same of the phrase's last word."""
_END_FRAMES = 8
"""Around the last word, that are judged with it: where it ends, its neighbours take part."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A word, a phone or a silence on a best path."""

    word: str
    """As people write it; phones as `phrase_graph.phone_word`."""
    first_frame: int
    frames: int
    score: float
    """Summed over the frames."""
    phones: int

    @property
    def is_phone(self) -> bool:
        """A phone said beside the phrases, no word."""
        return self.word.startswith("+")

    @property
    def end_frame(self) -> int:
        """The first frame behind it."""
        return self.first_frame + self.frames


def spoken(path: Sequence[Heard]) -> list[Heard]:
    """The path without its silences."""
    return [heard for heard in path if heard.word != SILENCE]


def plausible(said: Sequence[Heard], levels_db: np.ndarray) -> bool:
    """Whether a voice can have said the words so: their speed, their sounds, and nothing beside them.

    `levels_db`: (frames,), the level of each frame of the utterance.
    """
    frames = sum(heard.frames for heard in said)
    phones = sum(heard.phones for heard in said)
    pace = LEAST_FRAMES_PER_PHONE_OF_SHORT if phones <= SHORT_PHONES else LEAST_FRAMES_PER_PHONE
    too_fast = frames < max(LEAST_FRAMES, pace * phones)
    too_slow = any(heard.frames > MOST_FRAMES_PER_PHONE * heard.phones for heard in said)
    misheard = sum(heard.score for heard in said) < WORST_SCORE * frames
    return not (too_fast or too_slow or misheard) and loud_beside(said, levels_db) <= MOST_BESIDE


def loud_beside(said: Sequence[Heard], levels_db: np.ndarray) -> int:
    """Frames of speech that no word covers."""
    if not len(levels_db):
        return 0
    beside = levels_db > np.percentile(levels_db, 95) - LOUD_DB
    for heard in said:
        beside[max(0, heard.first_frame - _EDGE_FRAMES) : heard.end_frame + _EDGE_FRAMES] = False
    return int(np.count_nonzero(beside))


def confidence(path: Sequence[Heard], phrase: range, phones: Sequence[Heard]) -> float:
    """How sure it is that the phrase was said, in [0, 1]; `phrase` = which of the spoken words of `path` are it."""
    frames = max(heard.end_frame for heard in (*path, *phones))
    lost = _by_frame(path, frames) - _by_frame(phones, frames)
    said = spoken(path)
    last = said[phrase[-1]]
    whole = float(lost[said[0].first_frame : said[-1].end_frame].mean())
    end = float(lost[max(0, last.first_frame - _END_FRAMES) : last.end_frame + _END_FRAMES].mean())
    if whole < WORST_WHOLE or end < WORST_END:
        return 0.0
    return min(1.0, (whole - WORST_WHOLE) / (BEST_WHOLE - WORST_WHOLE))


def _by_frame(path: Sequence[Heard], frames: int) -> np.ndarray:
    """Each score spread over its frames. (frames,)"""
    scores = np.zeros(frames)
    for heard in path:
        scores[heard.first_frame : heard.end_frame] = heard.score / heard.frames
    return scores
