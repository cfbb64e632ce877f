"""Silero without its package: batches, pieces and silence behave, and what is missing is named."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from configs.engines import EspeakTts, SileroVad
from deployments.contracts.audio import SAMPLE_RATE_HZ
from deployments.contracts.errors import MissingPart
from deployments.contracts.ports import TtsEngine
from deployments.contracts.speech import VAD_WINDOW_SAMPLES, SynthesisRequest
from deployments.engines.silero import Silero, model_file
from deployments.loading import load


@pytest.fixture(scope="module")
def silero() -> Silero:
    engine: Silero = load(SileroVad())
    return engine


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """One second of silence, a sentence, one second of silence: (windows, 512) float32."""
    pytest.importorskip("espeakng_loader", reason="extra embedded-voice is not installed: no speech to judge")
    voice: TtsEngine = load(EspeakTts())
    request = SynthesisRequest("test", "What are your opening hours on Saturday?", "en", "en-gb")
    pcm = b"".join(piece.pcm for piece in voice.synthesise(request))
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    return windows_of(np.concatenate([np.zeros(SAMPLE_RATE_HZ), samples, np.zeros(SAMPLE_RATE_HZ)]))


def windows_of(samples: np.ndarray) -> np.ndarray:
    whole = len(samples) // VAD_WINDOW_SAMPLES * VAD_WINDOW_SAMPLES
    return samples[:whole].astype(np.float32).reshape(-1, VAD_WINDOW_SAMPLES)


def follow(silero: Silero, windows: np.ndarray, state: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Judge consecutive windows of one call: (windows,) probabilities and the state after them."""
    state = np.zeros((1, silero.state_size), np.float32) if state is None else state
    probabilities = []
    for window in windows:
        judged, state = silero.judge(window[None], state)
        probabilities.append(judged[0])
    return np.array(probabilities), state


def test_speech_is_told_from_silence(silero: Silero, speech: np.ndarray) -> None:
    """A spoken sentence is speech for most of its length, the second before it is not."""
    probabilities, _ = follow(silero, speech)

    second = SAMPLE_RATE_HZ // VAD_WINDOW_SAMPLES
    assert probabilities[:second].max() < 0.1
    assert np.median(probabilities[second + 3 : -second]) > 0.9
    assert probabilities[-5:].max() < 0.1


def test_noise_is_not_speech(silero: Silero) -> None:
    """Hiss and hum do not start a turn."""
    seconds = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    hiss = np.random.default_rng(1).normal(0, 0.05, len(seconds))
    hum = 0.2 * np.sin(2 * np.pi * 50 * seconds)

    for noise in (hiss, hum):
        assert follow(silero, windows_of(noise))[0].max() < 0.35


def test_a_batch_gives_what_each_call_gives_alone(silero: Silero, speech: np.ndarray) -> None:
    """Calls judged together do not touch one another, whatever the others say."""
    hiss = np.random.default_rng(2).normal(0, 0.1, speech.shape).astype(np.float32)
    calls = [speech, hiss, speech[::-1].copy(), np.zeros_like(speech)]
    alone = [follow(silero, call)[0] for call in calls]
    states = np.zeros((len(calls), silero.state_size), np.float32)
    together = []

    for step in range(len(speech)):
        judged, states = silero.judge(np.stack([call[step] for call in calls]), states)
        together.append(judged)

    np.testing.assert_array_equal(np.array(together).T, np.array(alone))


def test_pieces_equal_the_whole(silero: Silero, speech: np.ndarray) -> None:
    """A state that was stored and brought back, as calls do, goes on as if it had never left."""
    whole, _ = follow(silero, speech)
    first, state = follow(silero, speech[:37])

    second, _ = follow(silero, speech[37:], np.frombuffer(state.tobytes(), np.float32).reshape(state.shape))

    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


def test_the_state_holds_the_context(silero: Silero, speech: np.ndarray) -> None:
    """Without the samples before a window the verdict is another one: they travel in the state."""
    _, state = follow(silero, speech[:40])
    blind = state.copy()
    blind[:, -64:] = 0

    with_context, _ = silero.judge(speech[40:41], state)
    without, _ = silero.judge(speech[40:41], blind)

    assert state.shape == (1, 2 * 128 + 64)
    np.testing.assert_array_equal(state[0, -64:], speech[39, -64:])
    assert with_context[0] != without[0]


def test_the_package_is_read_but_never_imported(silero: Silero) -> None:
    """It would import torch, which is not installed."""
    assert "silero_vad" not in sys.modules
    assert model_file().name == "silero_vad.onnx"


@pytest.mark.parametrize("installed", [False, True])
def test_a_missing_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool) -> None:
    """Whether the package or only its file is missing."""
    spec = ModuleSpec("silero_vad", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if installed else None)

    with pytest.raises(MissingPart) as caught:
        Silero(SileroVad())

    assert caught.value.code == "weights_missing"
    assert "pip install" in caught.value.detail and "silero-vad" in caught.value.detail
