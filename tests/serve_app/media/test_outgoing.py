"""The agent's voice on its way out: RTP time over pauses and stalls, nothing sent in silence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_BYTES, SILENT_FRAME
from serve_app.media.outgoing import FRAME_S, HANGOVER_FRAMES, KEEP_ALIVE_FRAMES, MOST_LATE_S, Outgoing, OutgoingStream

SOUND = b"\1" * FRAME_BYTES


class CountingEncoder:
    """A payload names its frame."""

    clock_hz = 48_000
    ticks_per_frame = 960

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, pcm: bytes) -> bytes:
        self.encoded += 1
        return b"sound" if pcm == SOUND else b"quiet"


def play(frames: list[bytes], begin_s: float = 10.0) -> tuple[OutgoingStream, list[Outgoing | None]]:
    waiting = list(frames)
    stream = OutgoingStream(CountingEncoder())
    stream.source = lambda: waiting.pop(0)
    return stream, [stream.next(begin_s + number * FRAME_S) for number in range(len(frames))]


def test_speech_is_sent_frame_by_frame_with_the_marker_on_its_first() -> None:
    _, sent = play([SOUND] * 5)

    assert [(out.ticks, out.talk_begins) for out in sent if out] == [
        (0, True),
        (960, False),
        (1920, False),
        (2880, False),
        (3840, False),
    ]


def test_silence_is_sent_for_200_ms_and_then_one_frame_in_twenty() -> None:
    stream, sent = play([SOUND] + [SILENT_FRAME] * (HANGOVER_FRAMES + 3 * KEEP_ALIVE_FRAMES))

    numbers = [number for number, out in enumerate(sent) if out]
    assert numbers[: HANGOVER_FRAMES + 1] == list(range(HANGOVER_FRAMES + 1))
    assert numbers[HANGOVER_FRAMES + 1 :] == [HANGOVER_FRAMES + each * KEEP_ALIVE_FRAMES for each in (1, 2, 3)]
    assert stream.sent == len(numbers)


def test_a_stream_that_never_spoke_encodes_next_to_nothing() -> None:
    stream, sent = play([SILENT_FRAME] * 500)

    assert sum(out is not None for out in sent) == 500 // KEEP_ALIVE_FRAMES
    assert stream.frames == 500 and stream.quiet


def test_rtp_time_follows_the_clock_over_a_pause_and_speech_after_it_begins_with_the_marker() -> None:
    _, sent = play([SOUND] + [SILENT_FRAME] * 95 + [SOUND, SOUND])

    assert [out.ticks for out in sent[-2:] if out] == [96 * 960, 97 * 960]
    assert [out.talk_begins for out in sent[-2:] if out] == [True, False]
    assert not any(out.talk_begins for out in sent[1:-2] if out)


def test_a_pause_within_a_sentence_is_sent_whole() -> None:
    _, sent = play([SOUND] + [SILENT_FRAME] * (HANGOVER_FRAMES - 1) + [SOUND])

    assert all(sent)
    assert not sent[-1].talk_begins  # type: ignore[union-attr]


def test_a_frame_that_leaves_early_or_late_keeps_the_grid_and_a_stall_shows() -> None:
    stream = OutgoingStream(CountingEncoder())
    stream.source = lambda: SOUND
    times = [0.0, 0.015, 0.055, 0.060, 0.260, 0.280]

    ticks = [out.ticks for at in times if (out := stream.next(at))]

    assert ticks == [0, 960, 1920, 2880, 12480, 13440]


def test_speech_that_begins_before_its_place_on_the_grid_is_not_put_into_the_past() -> None:
    stream = OutgoingStream(CountingEncoder())
    frames = iter([SOUND, *[SILENT_FRAME] * (HANGOVER_FRAMES + KEEP_ALIVE_FRAMES), SOUND])
    stream.source = lambda: next(frames)
    sent = [stream.next(number * FRAME_S) for number in range(1 + HANGOVER_FRAMES + KEEP_ALIVE_FRAMES)]
    early_s = (HANGOVER_FRAMES + KEEP_ALIVE_FRAMES) * FRAME_S + 0.004

    last, first = sent[-1], stream.next(early_s)

    assert last and first
    assert first.ticks == last.ticks + 960


@given(st.lists(st.tuples(st.booleans(), st.floats(0.012, 0.3)), min_size=1, max_size=300))
def test_rtp_time_only_grows_and_stays_near_the_clock(frames: list[tuple[bool, float]]) -> None:
    stream = OutgoingStream(CountingEncoder())
    now, ticks = 0.0, -1
    began: float | None = None
    early_s = 0.0
    for loud, step in frames:
        now += step
        # A leg may be called early, but not for ever: the host's clock makes up for it.
        early_s = max(0.0, early_s + FRAME_S - step)
        if early_s > 0.1:
            now, early_s = now + early_s, 0.0
        stream.source = lambda loud=loud: SOUND if loud else SILENT_FRAME  # type: ignore[misc]
        out = stream.next(now)
        if out is None:
            continue
        began = now if began is None else began
        assert out.ticks > ticks
        ticks = out.ticks
        late_s = now - began - ticks / 48_000
        assert -0.5 <= late_s <= MOST_LATE_S + 0.001
