"""What a page says of its end is taken field by field, and nothing that cannot be true is taken."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.browser_stats import BrowserStats, browser_stats

TOLD = {"rtt_ms": 80, "jitter_ms": 12.5, "loss_percent": 1.5, "concealed_samples": 960, "jitter_buffer_ms": 55}
LIES = [math.nan, math.inf, -math.inf, -1, -0.001, "80", None, True, [], {}, 10**400, -(10**400), 1e300]


def test_a_page_that_tells_the_truth_is_believed() -> None:
    assert browser_stats({**TOLD, "more": 1}) == BrowserStats(80.0, 12.5, 1.5, 960.0, 55.0)


@pytest.mark.parametrize("field", TOLD)
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:8])
def test_a_lie_costs_its_own_field_alone(field: str, lie: object) -> None:
    stats = browser_stats({**TOLD, field: lie})

    assert stats is not None
    assert getattr(stats, field) is None
    assert sum(value is not None for value in astuple(stats)) == 4


def test_more_than_all_packets_are_not_lost() -> None:
    assert browser_stats({"loss_percent": 100}) == BrowserStats(loss_percent=100.0)
    assert browser_stats({"loss_percent": 100.1}) is None


@pytest.mark.parametrize("message", [None, 1, "x", [], {}, {"rtt_ms": "no"}, [TOLD]], ids=str)
def test_nothing_usable_is_none(message: object) -> None:
    assert browser_stats(message) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*TOLD, "other"]), ANYTHING))
@settings(max_examples=500)
def test_any_message_gives_finite_figures_or_none(message: dict[str, object]) -> None:
    stats = browser_stats(message)

    assert stats is None or all(
        value is None or (isinstance(value, float) and math.isfinite(value) and value >= 0) for value in astuple(stats)
    )
