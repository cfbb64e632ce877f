"""When the agent speaks up by itself: into silence, before the time is over, at its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import CallLimits, Silence
from serve_app.call.patience import Patience, SpeakUp

SILENCE = Silence(prompt_after_s=10, goodbye_after_s=8)
LIMITS = CallLimits(longest_call_s=600, warn_before_end_s=60)


def patience(**limits: float) -> Patience:
    return Patience(SILENCE, LIMITS.model_copy(update=limits), began_s=0.0)


def said_in(waiting: Patience, until_s: float, quiet: bool = True, from_s: float = 0.0) -> list[tuple[float, str]]:
    """(when, which line) of all that is said while one looks every quarter of a second."""
    found = []
    for look in range(int(from_s * 4), int(until_s * 4) + 1):
        said = waiting.look(look / 4, quiet=quiet)
        if said is not None:
            found.append((look / 4, said.line))
    return found


def test_a_silent_caller_is_asked_twice_and_then_told_goodbye() -> None:
    assert said_in(patience(), 29) == [
        (10.0, "still_there"),
        (20.25, "still_there_again"),
        (28.5, "silence_goodbye"),
    ]


def test_the_goodbye_ends_the_call_and_may_be_interrupted() -> None:
    waiting = patience()
    said_in(waiting, 28)

    assert waiting.look(28.5, quiet=True) == SpeakUp("silence_goodbye", "silence", last_word=False)


def test_while_somebody_speaks_no_silence_is_counted() -> None:
    waiting = patience()
    waiting.look(0, quiet=True)
    waiting.look(9.75, quiet=True)
    waiting.look(9.9, quiet=False)

    assert said_in(waiting, 19.75, from_s=10) == []
    assert waiting.look(20, quiet=True) == SpeakUp("still_there")


def test_words_of_the_caller_begin_the_count_anew() -> None:
    waiting = patience()
    assert [line for _, line in said_in(waiting, 21)] == ["still_there", "still_there_again"]

    waiting.caller_spoke()

    assert said_in(waiting, 33, from_s=21.25) == [(31.25, "still_there")]


def test_a_caller_who_is_writing_is_waited_for_but_not_counted_as_there() -> None:
    waiting = patience()
    said_in(waiting, 15)
    waiting.caller_stirred()

    assert said_in(waiting, 26, from_s=15.25) == [(25.25, "still_there_again")]


def test_near_its_end_a_call_is_warned_as_soon_as_nobody_speaks_and_once_only() -> None:
    waiting = patience()

    assert said_in(waiting, 545, quiet=False) == []
    assert waiting.look(545.25, quiet=True) == SpeakUp("time_nearly_over")
    assert said_in(waiting, 599, quiet=False, from_s=546) == []


def test_at_its_end_it_is_over_whoever_speaks() -> None:
    waiting = patience()
    said_in(waiting, 599.75, quiet=False)

    assert waiting.look(600, quiet=False) == SpeakUp("time_over", "longest_call", last_word=True)
    assert waiting.look(600.25, quiet=False) is None


@pytest.mark.parametrize("warn_s", [0, 600, 700])
def test_a_warning_that_would_come_at_the_beginning_or_the_end_is_left_out(warn_s: float) -> None:
    lines = [line for _, line in said_in(patience(warn_before_end_s=warn_s), 600)]

    assert "time_nearly_over" not in lines
    assert lines[-1] == "time_over"


@given(st.lists(st.tuples(st.floats(0.01, 30), st.booleans(), st.sampled_from(["", "spoke", "stirred"])), max_size=200))
def test_whatever_happens_the_questions_come_in_order_and_the_end_once(
    looks: list[tuple[float, bool, str]],
) -> None:
    waiting = patience()
    now = 0.0
    order = {"still_there": 0, "still_there_again": 1, "silence_goodbye": 2}
    asked = -1
    ends = 0
    for step, quiet, did in looks:
        now += step
        if did == "spoke":
            waiting.caller_spoke()
            asked = -1
        elif did == "stirred":
            waiting.caller_stirred()
        said = waiting.look(now, quiet=quiet)
        if said is not None and said.line in order:
            assert order[said.line] in (asked + 1, 2 if asked == 2 else -1)
            asked = order[said.line]
        ends += said is not None and said.hangup == "longest_call"
    assert ends == (now >= LIMITS.longest_call_s and bool(looks))
