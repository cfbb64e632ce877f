"""Hearing without a network: times of sound, losses, and the place of everything on the tape."""

import numpy as np
import pytest

from serve_app.caller.ear import Ear, Tape, stereo
from serve_app.caller.speech import prepare, silent_packet
from tests.fakes.tones import tone

LOUD = prepare(tone(1.0).tobytes()).packets


def ear_with(limit_s: float = 10.0, zero_s: float = 0.0) -> tuple[Ear, Tape]:
    tape = Tape(limit_s)
    return Ear(zero_s, tape), tape


def hear(ear: Ear, sounds: str, first: int = 0, from_s: float = 0.0) -> None:
    """One packet a character, 20 ms apart: `#` loud, `.` silent, `_` lost."""
    for n, kind in enumerate(sounds, first):
        if kind != "_":
            payload = LOUD[10 + n % 20] if kind == "#" else silent_packet()
            ear.hear(n % 0x10000, n * 960, payload, from_s + n * 0.02)


def test_the_first_sound_after_a_moment_is_found() -> None:
    ear, _ = ear_with()
    hear(ear, "###" + "." * 20 + "###")

    assert ear.first_sound_after(0.1) == pytest.approx(23 * 0.02, abs=0.021)
    assert ear.first_sound_after(9.0) is None


def test_it_fell_silent_at_the_last_sound_before_a_quarter_of_a_second_without_any() -> None:
    ear, _ = ear_with()
    hear(ear, "#" * 10 + "_" * 8 + "#" * 5 + "_" * 14 + "#" * 5)

    assert ear.fell_silent_s(0.05) == pytest.approx(22 * 0.02)
    assert ear.fell_silent_s(0.45) is None


def test_sound_between_two_moments() -> None:
    ear, _ = ear_with()
    hear(ear, "###")

    assert ear.sound_between(0.01, 0.05)
    assert not ear.sound_between(0.05, 9.0)


def test_lost_packets_are_counted_across_the_wrap_of_the_numbering() -> None:
    ear, _ = ear_with()
    hear(ear, "..._..__.", first=0xFFFC)

    assert (ear.received, ear.lost) == (6, 3)


def test_a_late_packet_is_neither_lost_nor_recorded() -> None:
    ear, tape = ear_with()
    hear(ear, "#_#")
    end = tape.end
    ear.hear(1, 960, LOUD[11], 0.05)

    assert (ear.lost, ear.too_late, tape.end) == (0, 1, end)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x03", bytes(2000)])
def test_a_packet_that_cannot_be_decoded_is_counted_and_harms_nothing(payload: bytes) -> None:
    ear, _ = ear_with()
    ear.hear(0, 0, payload, 0.0)
    hear(ear, "###", first=1)

    assert ear.received == 4
    assert ear.last_sound_s is not None


def test_garbage_is_named_unreadable() -> None:
    ear, _ = ear_with()

    assert ear.hear(0, 0, b"\xff\xff\xff", 0.0) is False
    assert ear.unreadable == 1


def test_an_empty_packet_is_silence() -> None:
    ear, _ = ear_with()

    assert ear.hear(0, 0, b"", 0.0) is False
    assert ear.unreadable == 0


def test_a_lost_packet_leaves_its_length_of_silence_on_the_tape() -> None:
    whole, whole_tape = ear_with()
    broken, broken_tape = ear_with()
    hear(whole, "#" * 20)
    hear(broken, "#" * 10 + "__" + "#" * 8)

    assert broken_tape.end == pytest.approx(whole_tape.end, abs=40)
    assert not broken_tape.samples(12 * 320)[10 * 320 : 11 * 320 + 200].any()


def test_network_jitter_does_not_move_the_recording_but_a_jump_of_the_sender_does() -> None:
    ear, tape = ear_with(zero_s=100.0)
    for n in range(10):
        ear.hear(n, n * 960, LOUD[10 + n], 100.0 + n * 0.02 + (0.05 if n % 2 else 0.0))
    jittered_end = tape.end
    ear.hear(10, 10 * 960, LOUD[20], 103.0)

    assert jittered_end == pytest.approx(10 * 320, abs=40)
    assert tape.end == pytest.approx(3 * 16_000 + 320, abs=40)


def test_a_tape_is_bounded() -> None:
    tape = Tape(limit_s=0.1)
    for n in range(100):
        tape.place(n * 320, bytes(640), 0)

    assert tape.end == 1600


def test_two_channels_are_aligned_and_of_one_length() -> None:
    left, right = Tape(1.0), Tape(1.0)
    left.place(2, np.array([7, 8], np.int16).tobytes(), 0)
    right.place(0, np.array([1], np.int16).tobytes(), 0)

    both = np.frombuffer(stereo(left, right), np.int16).reshape(-1, 2)

    assert both.tolist() == [[0, 1], [0, 0], [7, 0], [8, 0]]
