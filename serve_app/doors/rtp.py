"""The door for plain RTP: an SDP offer of RTP/AVP becomes a `CallPort` over UDP sockets of ours.

For a SIP bridge that only translates signalling: INVITE → offer, re-INVITE → another offer for the same call (`renew`),
BYE → hang-up. Media flows straight here, unencrypted, and nothing in it proves who sends: `rtp_latch.py` says whom we
believe. With the answer the line counts as connected, for in SIP the first sound may be ours; but `connect` waits for
the caller's first packet, or half a second, so that the greeting does not begin before the telephone listens.

On hold (the caller's side does not receive) the session's sound is not asked for: a sentence waits and goes on after
the hold. What the caller's side sends meanwhile is its music, and not heard; that nothing comes is no broken line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable

from configs.settings import Media
from deployments.contracts.audio import SILENT_FRAME, HeardAudio
from deployments.contracts.errors import BadOffer, CallOver
from serve_app.doors.host_clock import HostClock
from serve_app.doors.leg_audio import HeardQueue, LegAudio
from serve_app.doors.rtp_leg import RtpLeg, random_name
from serve_app.doors.rtp_sdp import RtpOffer, read_rtp_offer, rtp_answer
from serve_app.doors.rtp_sockets import announced_address
from serve_app.doors.rtp_wire import RtpWire
from serve_app.media.dtmf import KeyPress
from serve_app.media.rtcp import Compound
from serve_app.media.rtp import RtpPacket

log = logging.getLogger(__name__)

BYE_SILENCE_S = 2.0
"""An RTCP BYE ends the call when no sound came for so long: some telephones send one at a hold, or change of stream."""


class RtpLine:
    """A `CallPort` over one pair of ports; of other ones after a change of the network."""

    def __init__(self, media: Media, clock: HostClock) -> None:
        self._media = media
        self._clock = clock
        self.heard = HeardQueue()
        self.connected = asyncio.Event()
        self.gone = asyncio.Event()
        self._agreeing = asyncio.Lock()
        self._begun = asyncio.Event()
        """Answered, or over."""
        self._stirred = asyncio.Event()
        """The first packet has come, or it is over."""
        self._wire = RtpWire(media, self._takes, self._on_packet, self._on_reports)
        self._offer: RtpOffer | None = None
        self._leg: RtpLeg | None = None
        self._hears = False
        self._source: Callable[[], bytes] = lambda: SILENT_FRAME
        self._on_key: Callable[[dict[str, object]], None] = lambda event: None
        self._session, self._version = secrets.randbits(31), 0
        self._name = random_name()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def audio(self) -> LegAudio:
        """The present codec's. The line must have been answered."""
        assert self._leg is not None
        return self._leg.audio

    @property
    def refused(self) -> int:
        """Datagrams that were not the caller's, or not readable."""
        return self._wire.refused

    @property
    def held(self) -> bool:
        """The caller's side does not receive."""
        return self._offer is not None and not self._offer.they_receive

    # ------------------------------------------------------------ agreements

    async def answer(self, offer: str) -> str:
        """Accept the first offer; returns the SDP answer. Raises `BadOffer`, `StageBusy` without a free port."""
        try:
            return await self._agree(offer)
        except BaseException:
            await self.close()
            raise

    async def renew(self, offer: str) -> str:
        """Accept another offer: address, codec, hold. Raises as `answer` does, `CallOver`; then all stays."""
        return await self._agree(offer)

    async def _agree(self, text: str) -> str:
        offer = read_rtp_offer(text)
        async with self._agreeing:
            sockets = await self._wire.sockets_for(offer)
            if self.gone.is_set():
                if not self._wire.owns(sockets):
                    await sockets.close()
                raise CallOver("call_over", "this call has ended", "door")
            self._begin(offer)
            spare = self._wire.begin(offer, sockets)
            if spare is not None:
                await spare.close()
            self._version += 1
            address = announced_address(self._media, sockets.local)
            ports = {"port": sockets.port, "rtcp_port": sockets.port + 1}
            return rtp_answer(offer, session=self._session, version=self._version, address=address, **ports)

    def _begin(self, offer: RtpOffer) -> None:
        """From now on as agreed. A codec that stays goes on without a seam."""
        old = self._leg
        if old is None or (old.codec, old.event) != (offer.codec, offer.event):
            self._leg = RtpLeg(
                offer.codec, offer.event, self._clock, self.heard, self._wire.send, self._key_pressed, self._name
            )
            if old is not None:
                old.stop()
                self._leg.audio.rtt_ms = old.audio.rtt_ms
            self._leg.audio.start()
        first, self._offer = self._offer is None, offer
        self._hears = offer.they_send and (first or offer.they_receive)
        self.play_from(self._source)
        if first:
            self._after("report", self._report_in_s() / 2, self._report)
        self.connected.set()
        self._begun.set()

    async def add_candidates(self, fragment: str) -> None:
        """Raises `BadOffer`: plain RTP has no ICE."""
        raise BadOffer("candidates_unsupported", "a call over plain RTP takes no ICE candidates", "door", 415)

    async def connect(self) -> None:
        """Wait until the caller listens, as far as can be known. Raises `CallOver` when the line is closed before."""
        await self._begun.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._media.rtp_first_packet_s):
                await self._stirred.wait()
        if self.gone.is_set():
            raise CallOver("not_connected", "the line was closed before media could flow", "door")

    # ------------------------------------------------------------ CallPort: sound

    async def frames(self) -> AsyncIterator[HeardAudio]:
        """What the caller says, until the line closes."""
        async for audio in self.heard.pieces():
            yield audio

    def play_from(self, source: Callable[[], bytes]) -> None:
        """Ask `source` for each frame from now on; on hold, from its end on."""
        self._source = source
        if self._leg is not None:
            self._leg.audio.outgoing.source = (lambda: SILENT_FRAME) if self.held else source

    def hurry(self) -> None:
        """Ask for the next frame now."""
        if self._leg is not None and not self.held:
            self._leg.audio.hurry()

    def clear(self) -> None:
        """RTP has no remote buffer that could be cleared."""

    def unheard_s(self) -> float:
        """Seconds since anything valid came; 0 while nothing needs to come."""
        if self._offer is not None and (self.held or not self._offer.they_send):
            return 0.0
        return time.monotonic() - self._wire.heard_s

    async def quality(self) -> dict[str, object] | None:
        """How the line was since this was asked last."""
        report = self._leg.audio.quality() if self._leg is not None else None
        return None if report is None else {**report.public(), "alarm": self.audio.alarm.raised}

    # ------------------------------------------------------------ CallPort: events

    def send_event(self, event: dict[str, object]) -> None:
        """Plain RTP has no channel for that; the bridge has the call's WebSocket."""

    def on_message(self, handler: Callable[[dict[str, object]], None]) -> None:
        """Plain RTP brings none."""

    def on_key(self, handler: Callable[[dict[str, object]], None]) -> None:
        """Hand each key the caller presses to `handler`, as {"type": "dtmf", "key": "5"}."""
        self._on_key = handler

    async def press(self, keys: str) -> None:
        """Press keys ourselves; 200 ms each. Raises `BadInput`."""
        assert self._leg is not None
        await self._leg.press(keys)

    def _key_pressed(self, press: KeyPress) -> None:
        self._on_key({"type": "dtmf", "key": press.key})

    # ------------------------------------------------------------ packets

    def _takes(self, payload_type: int) -> bool:
        return self._leg is not None and self._leg.takes(payload_type)

    def _on_packet(self, packet: RtpPacket, now_s: float) -> None:
        assert self._leg is not None
        self._stirred.set()
        self._leg.packet(packet, now_s, hears=self._hears)

    def _on_reports(self, compound: Compound, now_s: float) -> None:
        assert self._leg is not None
        self._leg.reported(compound, now_s)
        if self._leg.reports.ssrc in compound.byes:
            log.info("rtcp_bye")
            self._after("bye", BYE_SILENCE_S, self._end_if_silent, self._leg.reports.ssrc)

    def _end_if_silent(self, ssrc: int) -> None:
        """The stream has said goodbye a while ago: with another one in its place, or on hold, the call goes on."""
        assert self._leg is not None
        silent_s = time.monotonic() - self._wire.rtp_s
        if self._leg.reports.ssrc != ssrc or self.held:
            return
        if silent_s < BYE_SILENCE_S:
            self._after("bye", BYE_SILENCE_S - silent_s, self._end_if_silent, ssrc)
        else:
            self._hang_up()

    def _report(self) -> None:
        assert self._leg is not None
        self._wire.send_report(self._leg.reports.build(time.monotonic()))
        self._after("report", self._report_in_s(), self._report)

    def _report_in_s(self) -> float:
        return self._media.rtcp_every_s * random.uniform(0.5, 1.5)

    def _after(self, what: str, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        """Do it then, in place of what was to be done under that name; not after the end."""
        if self.gone.is_set():
            return
        if what in self._timers:
            self._timers[what].cancel()
        self._timers[what] = asyncio.get_running_loop().call_later(seconds, act, *arguments)

    # ------------------------------------------------------------ the end

    def _hang_up(self) -> None:
        self.gone.set()
        self.heard.end()
        self._begun.set()
        self._stirred.set()

    async def close(self) -> None:
        """End the line; safe to call twice, and never raises."""
        self._hang_up()
        for timer in self._timers.values():
            timer.cancel()
        if self._leg is not None:
            self._leg.stop()
            self._wire.send_report(self._leg.reports.build(time.monotonic(), bye=True))
        await self._wire.close()
