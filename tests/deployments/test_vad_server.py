"""The vad deployment without Ray: shares of several calls in one tick, and what cannot be judged."""

from __future__ import annotations

import threading
from typing import ClassVar, Literal

import numpy as np
import pytest

from configs.engines import EngineSettings, SileroVad
from deployments.contracts.errors import BadInput, StageFailed
from deployments.contracts.speech import VAD_WINDOW_SAMPLES, VadWindows
from deployments.vad import MOST_BATCH, MOST_WINDOWS, Vad


class CountingSettings(EngineSettings):
    """Of the engine below."""

    engine: ClassVar[str] = f"{__name__}:Counting"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: Literal["counting"] = "counting"


class Counting:
    """The state counts the windows of a call; the probability is the level of the window."""

    state_size = 1

    def __init__(self, settings: CountingSettings) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.answer: float | None = None

    def judge(self, windows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.batches.append(len(windows))
        self.threads.add(threading.current_thread().name)
        level = np.abs(windows).max(axis=1)
        return (level if self.answer is None else np.full(len(windows), self.answer)), states + 1


def a_counting_server() -> tuple[Vad, Counting]:
    server = Vad(CountingSettings())  # type: ignore[arg-type]
    engine = server._engine
    assert isinstance(engine, Counting)
    return server, engine


def windows(*levels: float) -> bytes:
    """Windows of these levels, one after the other."""
    return b"".join(
        np.full(VAD_WINDOW_SAMPLES, round(level * 32768) if level < 1 else 32767, "<i2").tobytes() for level in levels
    )


def count(state: bytes) -> float:
    return float(np.frombuffer(state, np.float32)[0])


async def test_each_call_gets_its_own_verdicts_and_state() -> None:
    """Shares of one, three and two windows are answered in order, each with the state after its last window."""
    server, _ = a_counting_server()

    verdicts = await server.judge(
        [
            VadWindows(windows(0.5), None),
            VadWindows(windows(0.125, 0.25, 0.375), None),
            VadWindows(windows(0.75, 0.0), np.array([10], np.float32).tobytes()),
        ]
    )

    assert [verdict.probabilities for verdict in verdicts] == [(0.5,), (0.125, 0.25, 0.375), (0.75, 0.0)]
    assert [count(verdict.state) for verdict in verdicts] == [1, 3, 12]


async def test_windows_of_different_calls_are_judged_together() -> None:
    """The n-th windows of all calls form one batch, of 64 at most."""
    server, engine = a_counting_server()
    shares = [VadWindows(windows(0.5), None)] * (MOST_BATCH + 5) + [VadWindows(windows(0.5, 0.5), None)] * 2

    verdicts = await server.judge(shares)

    assert engine.batches == [MOST_BATCH, 7, 2]
    assert [len(verdict.probabilities) for verdict in verdicts] == [1] * (MOST_BATCH + 5) + [2, 2]


async def test_an_empty_tick_is_answered_emptily() -> None:
    """No shares, no verdicts."""
    server, engine = a_counting_server()

    assert await server.judge([]) == []
    assert engine.batches == []


async def test_the_model_never_runs_on_the_loop() -> None:
    """All in one thread of its own."""
    server, engine = a_counting_server()

    await server.judge([VadWindows(windows(0.5, 0.5), None)])

    assert len(engine.threads) == 1
    assert threading.main_thread().name not in engine.threads


@pytest.mark.parametrize(
    "pcm",
    [b"", b"\0", bytes(2 * VAD_WINDOW_SAMPLES - 2), bytes(2 * VAD_WINDOW_SAMPLES + 1), windows(0) * (MOST_WINDOWS + 1)],
)
async def test_audio_that_is_not_whole_windows_is_refused(pcm: bytes) -> None:
    """With a stable code, and before anything is judged."""
    server, engine = a_counting_server()

    with pytest.raises(BadInput) as caught:
        await server.judge([VadWindows(windows(0.5), None), VadWindows(pcm, None)])

    assert caught.value.code == "vad_windows_wrong"
    assert engine.batches == []


@pytest.mark.parametrize("state", [b"", b"\0\0\0", bytes(8)])
async def test_a_state_that_is_not_ours_is_refused(state: bytes) -> None:
    """Of another model, or cut off."""
    server, _ = a_counting_server()

    with pytest.raises(BadInput) as caught:
        await server.judge([VadWindows(windows(0.5), state)])

    assert caught.value.code == "vad_state_wrong"


async def test_health_fails_when_silence_is_called_speech() -> None:
    """A model gone wrong is replaced."""
    server, engine = a_counting_server()
    await server.check_health()
    engine.answer = float("nan")

    with pytest.raises(StageFailed) as caught:
        await server.check_health()

    assert caught.value.code == "vad_wrong"


async def test_the_real_model_behind_the_server() -> None:
    """Two ticks of a call, its state handed back and forth, equal one tick of both."""
    server = Vad(SileroVad())
    pcm = np.random.default_rng(3).normal(0, 3_000, 4 * VAD_WINDOW_SAMPLES).astype("<i2").tobytes()
    (whole,) = await server.judge([VadWindows(pcm, None)])

    (first,) = await server.judge([VadWindows(pcm[: len(pcm) // 2], None)])
    (second,) = await server.judge([VadWindows(pcm[len(pcm) // 2 :], first.state)])

    assert first.probabilities + second.probabilities == whole.probabilities
    assert second.state == whole.state
    assert await server.ready() == {"engine": "silero", "nature": "model"}
    await server.check_health()
