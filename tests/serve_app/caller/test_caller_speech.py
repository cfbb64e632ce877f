"""Preparing speech: packets in step with frames, and the voice found where it is."""

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES
from deployments.contracts.errors import BadAudio
from serve_app.caller.ear import Ear, Tape
from serve_app.caller.speech import TAIL_FRAMES, prepare
from tests.fakes.tones import tone

SILENCE = bytes(FRAME_BYTES)


def test_the_voice_is_found_between_silences() -> None:
    speech = prepare(SILENCE * 10 + tone(0.2).tobytes() + SILENCE * 7)

    assert (speech.first_voiced, speech.last_voiced) == (10, 19)
    assert len(speech.packets) == 27 + TAIL_FRAMES
    assert speech.duration_s == pytest.approx(0.54)


def test_a_broken_last_frame_is_filled_up_in_front() -> None:
    speech = prepare(tone(0.03).tobytes())

    assert speech.pcm == bytes(FRAME_BYTES // 2) + tone(0.03).tobytes()
    assert speech.last_voiced == 1


@pytest.mark.parametrize("pcm", [b"", SILENCE * 5, (tone(0.1) // 800).tobytes()])
def test_audio_without_voice_is_refused(pcm: bytes) -> None:
    with pytest.raises(BadAudio) as refused:
        prepare(pcm)

    assert refused.value.code == "wav_silent"


def test_what_is_decoded_is_what_was_said() -> None:
    said = np.concatenate([np.zeros(10 * FRAME_SAMPLES, np.int16), tone(0.4, 300.0)])
    speech = prepare(said.tobytes())
    tape = Tape(limit_s=5)
    ear = Ear(0.0, tape)

    sound = [ear.hear(n, n * 960, packet, n * 0.02) for n, packet in enumerate(speech.packets)]

    assert sound.index(True) == speech.first_voiced
    spectrum = np.abs(np.fft.rfft(tape.samples(said.size)[10 * FRAME_SAMPLES :][1600:4800]))
    assert np.argmax(spectrum) * 16_000 / 3200 == pytest.approx(300.0, abs=5.0)
