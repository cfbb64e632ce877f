"""How good a leg sounds: counters of two moments → loss, delay, and an estimated R and MOS. Pure.

The estimate is ITU-T G.107's E-model, reduced. Loss is counted after the buffer: a packet that came too late is lost.
All figures are of the interval between the two moments (2 s); where the browser told us of its own end, R is that of
the worse direction.

    Id = 0.024 d + 0.11 (d − 177.3)[d > 177.3]            d: one-way delay, ms
    Ie,eff = Ie + (95 − Ie) · Ppl / (Ppl / BurstR + Bpl)    Ppl: loss, percent
    R = 93.2 − Id − Ie,eff;  MOS = 1 + 0.035 R + R (R − 60)(100 − R) · 7·10⁻⁶ (1 below R = 0, 4.5 above 100)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deployments.contracts.audio import to_ms
from serve_app.media.browser_stats import BrowserStats

ALARM_MOS = 3.8
"""Below it some users are dissatisfied (G.107, annex B: R 75)."""
CLEAR_MARGIN_MOS = 0.1
ALARM_INTERVALS = 2
FEC_FRAME_LOSS = 0.25
"""What a frame restored from in-band FEC counts as loss: it is coded at a lower rate, heard but hurt. An estimate."""
MOST_BURST_R = 8.0
"""G.107 knows no longer bursts; in a short interval the ratio is chance anyway."""
_INTERACTIVE_R = 93.2


@dataclass(frozen=True, slots=True)
class CodecImpairment:
    """What a codec costs in the E-model."""

    ie: float
    """Without loss."""
    bpl: float
    """Robustness: the loss, percent, that costs half of what is left."""
    delay_ms: float
    """Packet time 20 ms and what coding and resampling hold back."""


CODECS = {
    "pcmu": CodecImpairment(0.0, 25.1, 22.0),
    "pcma": CodecImpairment(0.0, 25.1, 22.0),
    "l16": CodecImpairment(0.0, 25.1, 22.0),
    "opus": CodecImpairment(5.0, 20.0, 26.5),
}
"""G.711: ITU-T G.113, with concealment (without, Bpl would be 4.3); L16 is taken for the same.
Opus is an ESTIMATE: G.113 has no settled figures. Proposals on the narrowband scale lie at Ie 0–10 and Bpl 20–25; we
take the middle of the first and the pessimistic end of the second, since our concealment was not judged by ear."""


@dataclass(frozen=True, slots=True)
class LegCounters:
    """Where a leg stands at a moment; counts only grow."""

    at_s: float
    received: int = 0
    """Packets played."""
    recovered: int = 0
    """Packets that did not come in time and were restored by FEC."""
    lost: int = 0
    """Packets that did not come in time and were concealed."""
    bursts: int = 0
    """Runs of consecutive such packets (`recovered` and `lost`)."""
    concealed_samples: int = 0
    fec_samples: int = 0
    jitter_ms: float = 0.0
    """Now."""
    buffer_ms: float = 0.0
    """Now: what the jitter buffer adds."""
    rtt_ms: float | None = None
    """Of the latest RTCP report; None = none came."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """A leg over one interval. None: nothing was there to measure."""

    codec: str
    interval_ms: float
    loss_percent: float | None
    jitter_ms: float
    rtt_ms: float | None
    concealed_ms: float
    fec_ms: float
    buffer_ms: float
    r: float | None
    mos: float | None
    browser: BrowserStats | None = None
    """What the other end says it hears."""

    def public(self) -> dict[str, Any]:
        """For the `quality` event: rounded, JSON-serialisable."""
        values = asdict(self) | {"browser": _rounded(asdict(self.browser)) if self.browser else None}
        return _rounded(values)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}


def r_factor(one_way_ms: float, loss_percent: float, codec: CodecImpairment, burst_r: float = 1.0) -> float:
    """The E-model's R, at most 93.2; may be negative."""
    delay = 0.024 * one_way_ms + 0.11 * max(0.0, one_way_ms - 177.3)
    loss = (95 - codec.ie) * loss_percent / (loss_percent / burst_r + codec.bpl)
    return _INTERACTIVE_R - delay - codec.ie - loss


def mos_of(r: float) -> float:
    """Mean opinion score, 1 to 4.5."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)  # the cubic dips below 1 under R = 6.5


def burst_ratio(missed: int, bursts: int, sent: int) -> float:
    """Mean length of the bursts of loss, over that of random loss of the same rate (1 / (1 − p)); 1 when unknown."""
    if bursts <= 0 or not 0 < missed < sent:
        return 1.0
    return min(max(1.0, missed / bursts * (1 - missed / sent)), MOST_BURST_R)


def leg_quality(before: LegCounters, now: LegCounters, codec: str, browser: BrowserStats | None = None) -> LegQuality:
    """What happened between two moments. An unknown round trip counts as none: R is then too good, never unknown."""
    received, lost = now.received - before.received, now.lost - before.lost
    recovered = now.recovered - before.recovered
    sent = received + recovered + lost
    rtt_ms = now.rtt_ms if now.rtt_ms is not None else browser.rtt_ms if browser else None
    impairment = CODECS[codec]
    travel_ms = (rtt_ms or 0.0) / 2 + impairment.delay_ms
    ratings: list[float] = []
    if sent > 0:
        burst_r = burst_ratio(lost + recovered, now.bursts - before.bursts, sent)
        hurt_percent = 100 * (lost + FEC_FRAME_LOSS * recovered) / sent
        ratings.append(r_factor(travel_ms + now.buffer_ms, hurt_percent, impairment, burst_r))
    if browser is not None and browser.loss_percent is not None:
        ratings.append(r_factor(travel_ms + (browser.jitter_buffer_ms or 0.0), browser.loss_percent, impairment))
    r = min(ratings, default=None)
    return LegQuality(
        codec=codec,
        interval_ms=(now.at_s - before.at_s) * 1000,
        loss_percent=100 * lost / sent if sent > 0 else None,
        jitter_ms=now.jitter_ms,
        rtt_ms=rtt_ms,
        concealed_ms=to_ms(now.concealed_samples - before.concealed_samples),
        fec_ms=to_ms(now.fec_samples - before.fec_samples),
        buffer_ms=now.buffer_ms,
        r=r,
        mos=None if r is None else mos_of(r),
        browser=browser,
    )


class QualityAlarm:
    """Raised by two intervals in a row below 3.8, cleared by two at 3.9 or above. Unknown ones change nothing."""

    def __init__(self) -> None:
        self.raised = False
        self._against = 0
        """Intervals in a row that speak against the present state."""

    def interval(self, mos: float | None) -> bool:
        """Take the next interval; True when the alarm was raised or cleared by it."""
        if mos is None:
            return False
        against = mos >= ALARM_MOS + CLEAR_MARGIN_MOS if self.raised else mos < ALARM_MOS
        self._against = self._against + 1 if against else 0
        if self._against < ALARM_INTERVALS:
            return False
        self.raised = not self.raised
        self._against = 0
        return True
