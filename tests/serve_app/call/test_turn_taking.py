"""Who may speak now: windows of 32 ms in, decisions out, at exactly these samples."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import TurnTaking
from deployments.contracts.audio import SAMPLE_BYTES, HeardAudio, to_samples
from deployments.contracts.speech import VAD_WINDOW_SAMPLES as WINDOW
from serve_app.call.ear import WINDOW_BYTES, Ear, level_dbfs
from serve_app.call.turn_taking import BargeIn, Decision, FalseStart, SpeechStarted, TurnEnded, TurnTaker
from tests.fakes.fake_call import quiet, tone

SPEECH, BETWEEN, QUIET, UNKNOWN = 0.9, 0.42, 0.05, None
UNSURE_WINDOWS, COMPLETE_WINDOWS, BARGE_IN_WINDOWS = 20, 10, 6
"""640, 320 and 192 ms."""


class Listener:
    """A `TurnTaker` and the number of windows it was fed."""

    def __init__(self, **changes: Any) -> None:
        self.taker = TurnTaker(TurnTaking(**changes))
        self.fed = 0

    def hear(
        self,
        windows: int,
        probability: float | None,
        *,
        level: float = -120.0,
        agent: bool = False,
        complete: bool | None = None,
    ) -> list[Decision]:
        decisions: list[Decision] = []
        for _ in range(windows):
            self.fed += 1
            decisions += self.taker.window(probability, level, agent_audible=agent, text_complete=complete)
        return decisions


def test_two_windows_of_speech_start_an_utterance_with_its_pre_roll() -> None:
    listener = Listener()
    listener.hear(20, QUIET)

    assert listener.hear(1, SPEECH) == []
    assert listener.hear(1, SPEECH) == [SpeechStarted(20 * WINDOW - to_samples(300), over_agent=False)]
    assert listener.taker.speaking


def test_the_pre_roll_does_not_begin_before_the_call() -> None:
    assert Listener().hear(2, SPEECH) == [SpeechStarted(0, over_agent=False)]


def test_clicks_do_not_add_up() -> None:
    listener = Listener()

    for _ in range(20):
        assert listener.hear(1, SPEECH) + listener.hear(1, QUIET) == []
    assert not listener.taker.speaking


def test_between_the_thresholds_nothing_starts_and_nothing_ends() -> None:
    listener = Listener()

    assert listener.hear(100, BETWEEN) == []
    listener.hear(3, SPEECH)
    assert listener.hear(100, BETWEEN) == []
    assert listener.taker.speaking


@pytest.mark.parametrize(
    ("complete", "windows"), [(None, UNSURE_WINDOWS), (False, UNSURE_WINDOWS), (True, COMPLETE_WINDOWS)]
)
def test_a_whole_sentence_is_waited_for_less_long(complete: bool | None, windows: int) -> None:
    listener = Listener()
    listener.hear(30, SPEECH)

    assert listener.hear(windows - 1, QUIET, complete=complete) == []
    ended = listener.hear(1, QUIET, complete=complete)
    assert ended == [TurnEnded(30 * WINDOW, (30 + windows) * WINDOW, voiced_samples=30 * WINDOW)]
    assert not listener.taker.speaking


def test_speech_during_the_wait_is_the_same_utterance() -> None:
    listener = Listener()
    listener.hear(10, SPEECH)
    listener.hear(UNSURE_WINDOWS - 1, QUIET)

    assert listener.hear(1, SPEECH) == []
    assert listener.hear(UNSURE_WINDOWS - 1, QUIET) == []
    assert listener.hear(1, QUIET) == [TurnEnded(30 * WINDOW, 50 * WINDOW, voiced_samples=11 * WINDOW)]


def test_unknown_windows_start_nothing_however_loud() -> None:
    listener = Listener()

    for _ in range(5):
        assert listener.hear(6, UNKNOWN, level=-3.0) == []
        listener.hear(1, QUIET)


def test_unknown_windows_are_no_part_of_the_silence_that_ends_a_turn() -> None:
    listener = Listener()
    listener.hear(10, SPEECH)
    silence = 0

    while not (decisions := listener.hear(6, UNKNOWN) + listener.hear(1, QUIET)):
        silence += 1
    assert silence + 1 == UNSURE_WINDOWS
    assert decisions == [TurnEnded(10 * WINDOW, listener.fed * WINDOW, voiced_samples=10 * WINDOW)]


def test_after_200_ms_without_verdicts_loudness_decides() -> None:
    listener = Listener()

    assert listener.hear(7, UNKNOWN, level=-20.0) == []
    assert listener.hear(1, UNKNOWN, level=-20.0) == [SpeechStarted(6 * WINDOW - 6 * WINDOW, over_agent=False)]
    assert listener.hear(UNSURE_WINDOWS - 1, UNKNOWN, level=-60.0) == []
    assert listener.hear(1, UNKNOWN, level=-60.0) == [TurnEnded(8 * WINDOW, 28 * WINDOW, voiced_samples=2 * WINDOW)]


def test_one_verdict_closes_the_energy_gate() -> None:
    listener = Listener()
    listener.hear(6, UNKNOWN, level=-20.0)
    listener.hear(1, QUIET)

    assert listener.hear(6, UNKNOWN, level=-20.0) == []


def test_a_pre_roll_never_reaches_into_the_turn_before() -> None:
    listener = Listener(preroll_ms=5000, wait_complete_ms=64)
    listener.hear(10, SPEECH)
    (ended,) = listener.hear(2, QUIET, complete=True)
    assert isinstance(ended, TurnEnded)

    assert listener.hear(2, SPEECH) == [SpeechStarted(ended.speech_end, over_agent=False)]


def test_a_pre_roll_never_reaches_into_a_false_start() -> None:
    listener = Listener(preroll_ms=5000)
    listener.hear(2, SPEECH, agent=True)
    (false,) = listener.hear(BARGE_IN_WINDOWS, QUIET, agent=True)
    assert isinstance(false, FalseStart)

    assert listener.hear(2, SPEECH, agent=True) == [SpeechStarted(false.at_sample, over_agent=True)]


def test_the_longest_utterance_is_ended_and_the_next_begins_where_it_stopped() -> None:
    listener = Listener(longest_utterance_s=0.96)
    decisions = listener.hear(35, SPEECH)

    assert decisions == [
        SpeechStarted(0, over_agent=False),
        TurnEnded(30 * WINDOW, 30 * WINDOW, voiced_samples=30 * WINDOW),
        SpeechStarted(30 * WINDOW, over_agent=False),
    ]


@pytest.mark.parametrize("probability", [BETWEEN, UNKNOWN])
def test_the_longest_utterance_ends_without_a_clear_verdict_too(probability: float | None) -> None:
    listener = Listener(longest_utterance_s=0.96, energy_gate_after_ms=60_000)
    listener.hear(5, SPEECH)

    assert listener.hear(24, probability) == []
    assert listener.hear(1, probability) == [TurnEnded(5 * WINDOW, 30 * WINDOW, voiced_samples=5 * WINDOW)]


def test_speech_over_the_agent_becomes_a_barge_in_once_it_has_lasted() -> None:
    listener = Listener()

    assert listener.hear(2, SPEECH, agent=True) == [SpeechStarted(0, over_agent=True)]
    assert listener.hear(BARGE_IN_WINDOWS - 3, SPEECH, agent=True) == []
    assert listener.hear(1, SPEECH, agent=True) == [BargeIn(BARGE_IN_WINDOWS * WINDOW)]
    assert listener.hear(50, SPEECH, agent=True) == []


def test_a_barge_in_ends_like_any_turn() -> None:
    listener = Listener()
    listener.hear(BARGE_IN_WINDOWS, SPEECH, agent=True)

    ended = TurnEnded(BARGE_IN_WINDOWS * WINDOW, (BARGE_IN_WINDOWS + UNSURE_WINDOWS) * WINDOW, 6 * WINDOW)
    assert listener.hear(UNSURE_WINDOWS, QUIET, agent=True) == [ended]


def test_a_cough_over_the_agent_is_a_false_start_and_no_turn() -> None:
    listener = Listener()
    listener.hear(3, SPEECH, agent=True)

    assert listener.hear(BARGE_IN_WINDOWS - 1, QUIET, agent=True, complete=True) == []
    assert listener.hear(1, QUIET, agent=True) == [FalseStart((3 + BARGE_IN_WINDOWS) * WINDOW)]
    assert listener.hear(100, QUIET, agent=True) == []
    assert not listener.taker.speaking


def test_a_candidate_is_not_ended_as_a_turn_however_short_the_wait() -> None:
    listener = Listener(wait_complete_ms=64)
    listener.hear(3, SPEECH, agent=True)

    assert listener.hear(BARGE_IN_WINDOWS - 1, QUIET, agent=True, complete=True) == []
    assert listener.hear(1, QUIET, agent=True, complete=True) == [FalseStart((3 + BARGE_IN_WINDOWS) * WINDOW)]


def test_a_candidate_is_an_ordinary_utterance_once_the_agent_has_finished() -> None:
    listener = Listener()
    listener.hear(3, SPEECH, agent=True)

    assert listener.hear(40, SPEECH) == []
    assert listener.hear(UNSURE_WINDOWS, QUIET) == [TurnEnded(43 * WINDOW, 63 * WINDOW, voiced_samples=43 * WINDOW)]


def test_a_cough_that_outlasts_the_agent_is_a_turn_not_a_false_start() -> None:
    listener = Listener()
    listener.hear(3, SPEECH, agent=True)

    assert listener.hear(UNSURE_WINDOWS, QUIET) == [TurnEnded(3 * WINDOW, 23 * WINDOW, voiced_samples=3 * WINDOW)]


PROBABILITIES = st.one_of(st.none(), st.sampled_from([SPEECH, QUIET]), st.floats(0, 1))
RUNS = st.lists(
    st.tuples(
        st.integers(1, 25),
        PROBABILITIES,
        st.sampled_from([-120.0, -41.0, -20.0]),
        st.booleans(),
        st.sampled_from([None, False, True]),
    ),
    max_size=40,
)


@given(RUNS, st.sampled_from([30.0, 1.0]), st.sampled_from([300.0, 5000.0]))
@settings(deadline=None, max_examples=300)
def test_every_utterance_starts_once_and_ends_once_and_never_in_the_past(
    runs: list[Any], longest_utterance_s: float, preroll_ms: float
) -> None:
    listener = Listener(longest_utterance_s=longest_utterance_s, preroll_ms=preroll_ms)
    started: SpeechStarted | None = None
    barged_in, floor = False, 0

    for windows, probability, level, agent, complete in runs:
        for _ in range(windows):
            for decision in listener.hear(1, probability, level=level, agent=agent, complete=complete):
                now = listener.fed * WINDOW
                match decision:
                    case SpeechStarted(from_sample, over_agent):
                        assert started is None and over_agent == agent
                        assert floor <= from_sample < now
                        started, barged_in = decision, False
                    case BargeIn(at_sample):
                        assert started is not None and started.over_agent and not barged_in and agent
                        assert at_sample == now
                        barged_in = True
                    case FalseStart(at_sample):
                        assert started is not None and started.over_agent and not barged_in and agent
                        assert at_sample == now
                        started, floor = None, at_sample
                    case TurnEnded(speech_end, decided_at, voiced_samples):
                        assert started is not None
                        assert started.from_sample < speech_end <= decided_at == now
                        assert to_samples(64) <= voiced_samples <= speech_end - started.from_sample
                        started, floor = None, speech_end
            assert listener.taker.speaking == (started is not None)


SPANS = st.lists(st.tuples(st.booleans(), st.integers(1, 1200)), min_size=1, max_size=8)


@given(SPANS, st.lists(st.integers(1, 5_000), max_size=30), st.integers(0, 80_000))
@settings(deadline=None)
def test_however_the_audio_is_cut_the_decisions_fall_at_the_same_samples(
    spans: list[tuple[bool, int]], sizes: list[int], agent_until: int
) -> None:
    pcm = b"".join(tone(ms) if loud else quiet(ms) for loud, ms in spans) + quiet(1000)
    at_once = decisions_on([pcm], agent_until)
    edges = [0, *(sum(sizes[: place + 1]) * SAMPLE_BYTES for place in range(len(sizes)))]
    pieces = [pcm[start:end] for start, end in zip(edges, [*edges[1:], None], strict=True)]

    assert decisions_on(pieces, agent_until) == at_once


def decisions_on(pieces: list[bytes], agent_until: int) -> list[tuple[int, Decision]]:
    """What is decided, and after how many samples, when loud windows are speech and the agent speaks up to a sample."""
    ear, listener, decided = Ear(), Listener(), []
    for piece in pieces:
        ear.add(HeardAudio(piece, 0.0))
        while window := ear.windows(1):
            assert len(window) == WINDOW_BYTES
            probability = SPEECH if level_dbfs(window) > -30 else QUIET
            agent = listener.fed * WINDOW < agent_until
            decided += [(listener.fed, decision) for decision in listener.hear(1, probability, agent=agent)]
    return decided
