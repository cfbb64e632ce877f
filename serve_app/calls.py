"""CallHost: the ingress of the media plane. Each replica is one process that hosts many call sessions.

A session is an object here, not an actor of its own: an actor a call would cost 130 MB and up to a second of set-up
(measured on Ray 2.60), and its audio would cross a process per frame. Models are asked through `deployments.clients`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from starlette.types import ASGIApp

from configs import fast_path
from configs.settings import AppArgs, Media, load_profile
from deployments.clients import AsrClient, KnowledgeClient, LlmClient, TtsClient, VadClient
from deployments.contracts.call_events import CallEvent
from deployments.contracts.errors import CallOver, NotAllowed, StageBusy, StageFailed
from deployments.host_board import HostBoard, HostState
from deployments.vad_tick import VadTicker
from serve_app.call.record import CallRecord
from serve_app.call.session import CallParts, CallSession
from serve_app.call.standard_lines import StandardLines
from serve_app.call_tokens import CallToken, CallTokens
from serve_app.calls_http import build_calls_app
from serve_app.dialogue.agents import Dialogue
from serve_app.doors.host_clock import HostClock
from serve_app.doors.ice_addresses import use_addresses
from serve_app.doors.offer import Door, door_of, offer_text, read_offer
from serve_app.doors.rtp import RtpLine
from serve_app.doors.webrtc import WebRtcLine
from serve_app.held_calls import EndedCall, Line, LiveCall
from serve_app.host_peers import HostPeers, now_s
from serve_app.listener import Forwarder, Listener
from serve_app.phrasebooks import Phrasebooks
from serve_app.tenants.gate import Gate, secret
from serve_app.tenants.models import Tenant
from serve_app.tenants.store import YamlTenantStore
from serve_app.warm_up import warm_up

log = logging.getLogger(__name__)

ENDED_KEPT = 200
"""Ended calls whose state can still be asked for."""
PHRASEBOOK_PERIOD_S = 5.0
PREPARE_S = 5.0
"""What phrases and standard lines may hold up the greeting of a call that is connected."""
LEAVE_S = 6.0
"""Of the replica's shutdown time, kept for telling the callers that it is over; the demo's Arabic takes 4.3 s."""
DRAIN_MARGIN_S = 1.0
"""Of the same, kept for closing what is left."""
LINES: dict[Door, Callable[[Media, HostClock], Line]] = {Door.WEBRTC: WebRtcLine, Door.RTP: RtpLine}
READ: dict[Door, Callable[[bytes], str]] = {Door.WEBRTC: read_offer, Door.RTP: offer_text}
"""The line for plain RTP reads the rest itself."""


class ClosableSink(Protocol):
    """An `EventSink` that is sealed at the end."""

    @property
    def failed(self) -> StageFailed | None:
        """Why nothing is stored any more; None while it is."""
        ...

    def append(self, event: CallEvent) -> None: ...

    def close(self) -> None: ...


class CallHost:
    """One replica of the media plane."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, args: AppArgs, open_sink: Callable[[Path], ClosableSink], board: HostBoard
    ) -> None:
        if slow := fast_path.missing(os.environ):
            log.warning("slow_path", extra={"unset": slow, "see": "README.md, grow to a cluster"})
        self.profile = load_profile(args.profile)
        state = Path(args.state_dir)
        self.tenants = YamlTenantStore(args.tenants)
        self.gate = Gate(secret(state / "keys", "api.token"), open_on_loopback=args.open_on_loopback)
        longest_s = self.profile.limits.longest_call_s
        self.tokens = CallTokens(secret(state / "keys", "calls.key"), longest_s + 3600)
        self.forwarder = Forwarder()
        self._sink = open_sink(state / "spool")
        use_addresses(self.profile.media)
        self._clock = HostClock()
        self._asr, self._llm, self._tts = AsrClient(), LlmClient(), TtsClient()
        self._knowledge = KnowledgeClient()
        self._calls: dict[str, LiveCall] = {}
        self._vad = VadTicker(
            VadClient().judge_batch, self.profile.vad_tick, self.profile.budgets.vad_ms, lambda: len(self._calls)
        )
        self._lines = StandardLines(self._tts)
        self._phrasebooks = Phrasebooks(self._knowledge)
        self._ended: dict[str, EndedCall] = {}
        self._draining = False
        self._app = build_calls_app(self)
        self._listener = Listener(self._app, args.listener_host)
        self.address = self._listener.address
        await self._listener.start()
        self.peers = HostPeers(board, self._state)
        self._meeting = asyncio.create_task(self.peers.keep())
        self._warm = False
        self._housekeeping = asyncio.create_task(self._keep_house())

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._app

    # ------------------------------------------------------------ a call's beginning

    async def open_call(self, tenant: Tenant, body: bytes, language: str | None = None) -> tuple[str, str]:
        """Answer an offer; returns the call token and the SDP answer. Raises `BadOffer`, `StageBusy`."""
        door = door_of(body)
        offer = READ[door](body)
        if self._draining:
            raise _draining()
        if len(self._calls) >= self.profile.limits.max_calls_per_host:
            raise StageBusy("host_full", "this host takes no further call at the moment", "calls")
        if self._late():
            raise StageBusy("host_late", "this host is too busy for a further call", "calls")
        call = uuid.uuid4().hex
        line = LINES[door](self.profile.media, self._clock)
        record = CallRecord(call, tenant.id, 1, self._sink, line.send_event)
        session = CallSession(call, tenant, self.profile, self._parts(tenant, line, record), language)
        live = LiveCall(session, line, door, CallToken(call, tenant.id, self.address, epoch=1))
        self._calls[call] = live  # before the first await: the place is taken
        try:
            answer = await line.answer(offer)
            if self._draining:  # since: nobody would wait for this call's end
                raise _draining()
        except BaseException:
            del self._calls[call]
            await line.close()
            raise
        live.holding = asyncio.create_task(self._hold(live))
        return self.tokens.sign(live.token), answer

    def _parts(self, tenant: Tenant, line: Line, record: CallRecord) -> CallParts:
        profile = self.profile
        heard = profile.engines.asr.languages
        dialogue = Dialogue(tenant, self._knowledge, self._llm, profile.dialogue, profile.budgets, heard)
        return CallParts(
            line=line,
            vad=self._vad,
            asr=self._asr,
            tts=self._tts,
            dialogue=dialogue,
            lines=self._lines,
            record=record,
            phrasebook=lambda: self._phrasebooks.of(tenant),
            clock=time.monotonic,
        )

    async def _hold(self, live: LiveCall) -> None:
        """Hold one call to its end."""
        session, line = live.session, live.line
        started = {"tenant_name": session.tenant.name, "profile": self.profile.name, "channel": live.door.value}
        session.record.emit("call.started", {**started, "engines": self.profile.engines.natures()})
        try:
            reason = await session.run() if await self._connected(live) else session.abandon("not_connected")
            log.info("call_ended", extra={"call_id": session.call, "reason": reason})
        except Exception:  # a mistake of ours; the others' calls go on
            log.exception("call_failed", extra={"call_id": session.call})
        finally:
            await line.close()
            del self._calls[session.call]
            self._ended[session.call] = live.ended()
            while len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]

    async def _connected(self, live: LiveCall) -> bool:
        """Prepare while the line comes up; False when it never does. A call that is up goes on unprepared."""
        preparing = asyncio.create_task(self._prepare(live.session.tenant))
        try:
            async with asyncio.timeout(self.profile.media.connect_timeout_s):
                await live.line.connect()
            await asyncio.wait([preparing], timeout=PREPARE_S)
        except (TimeoutError, CallOver):
            return False
        finally:
            late = preparing.cancel()
            await asyncio.wait([preparing])
            if late or preparing.exception() is not None:
                why = "late" if late else repr(preparing.exception())
                log.warning("call_unprepared", extra={"call_id": live.session.call, "why": why})
        return True

    async def _prepare(self, tenant: Tenant) -> None:
        """What should be at hand before the first word: the phrases, and the lines that bridge failures."""
        await self._phrasebooks.refresh(tenant)
        await self._lines.prepare_all(tenant)

    async def _keep_house(self) -> None:
        for tenant in await self.tenants.all():
            if tenant.active:
                await warm_up(tenant, self._vad, self._asr, self._knowledge, self._llm)
                await self._prepare(tenant)
        self._warm = True
        while True:
            await asyncio.sleep(PHRASEBOOK_PERIOD_S)
            for tenant in {live.session.tenant.id: live.session.tenant for live in self._calls.values()}.values():
                await self._phrasebooks.refresh(tenant)

    # ------------------------------------------------------------ a call that is there

    def owns(self, token: CallToken) -> bool:
        """Whether requests for that call are answered here."""
        return token.owner == self.address

    def find(self, token: CallToken) -> LiveCall | EndedCall:
        """The call, ended ones for a while included. Raises `CallOver`, `NotAllowed` for a token of an older owner."""
        call = self._calls.get(token.call) or self._ended.get(token.call)
        if call is None:
            raise CallOver("call_over", "this call has ended", "calls")
        if token.epoch < call.token.epoch:
            raise NotAllowed("epoch_stale", "the call has changed its owner since this token was made", "calls", 409)
        return call

    def live(self, token: CallToken) -> LiveCall:
        """The call while it lasts. Raises `CallOver`."""
        call = self.find(token)
        if isinstance(call, EndedCall):
            raise CallOver("call_over", "this call has ended", "calls")
        return call

    def _late(self) -> bool:
        """Those who are here would suffer from a further call. Nobody: then the lag is that of calls gone by."""
        return bool(self._calls) and self._clock.lag_ms() > self.profile.limits.most_lag_ms

    def _state(self) -> HostState:
        """What the other hosts see of this one."""
        most, lag_ms = self.profile.limits.max_calls_per_host, self._clock.lag_ms()
        takes = self._warm and not self._draining and not self._late()
        return HostState(self.address, len(self._calls), most, round(lag_ms, 1), takes, now_s())

    async def renew(self, token: CallToken, body: bytes) -> str:
        """Answer another offer for a call that runs: its caller's network has changed. Raises as `open_call` does."""
        live = self.live(token)
        return await live.line.renew(READ[live.door](body))

    async def hang_up(self, token: CallToken) -> None:
        """End the call and wait until it has. Raises `CallOver` when it had ended before."""
        live = self.live(token)
        live.session.end("caller_hung_up")
        await live.line.close()
        if live.holding is not None:
            await asyncio.wait([live.holding], timeout=5)

    # ------------------------------------------------------------ the replica's own life

    async def ready(self) -> dict[str, Any]:
        """For `/readyz`. Raises `StageBusy` until every path has been walked once."""
        if not self._warm:
            raise StageBusy("warming_up", "the models are being asked for the first time", "calls")
        if self._sink.failed is not None:
            raise self._sink.failed  # calls go on, their records do not
        limits = self.profile.limits
        return {
            "calls": len(self._calls),
            "most_calls": limits.max_calls_per_host,
            "loop_lag_ms": round(self._clock.lag_ms(), 1),
        }

    async def check_health(self) -> None:
        """Serve restarts the replica when this raises."""
        if self._housekeeping.done():
            self._housekeeping.result()

    async def __del__(self) -> None:
        """Serve calls this when the replica is to stop: live calls end first, as long as there is time."""
        self._draining = True
        self._meeting.cancel()
        await self.peers.leave()
        patience_s = self.profile.deployments.call_host.graceful_shutdown_timeout_s
        await self._wait_for_calls(max(0.0, patience_s - LEAVE_S - DRAIN_MARGIN_S))
        for live in list(self._calls.values()):
            live.session.take_leave("host_shutdown", "closing_down")
        await self._wait_for_calls(min(LEAVE_S, max(0.0, patience_s - DRAIN_MARGIN_S)))
        for live in list(self._calls.values()):
            live.session.end("host_shutdown")
            if live.holding is not None and live.session.state == "connecting":  # it waits for the line
                await live.line.close()
        await self._wait_for_calls(DRAIN_MARGIN_S)
        self._housekeeping.cancel()
        await self.forwarder.close()
        await self._listener.stop()
        await asyncio.to_thread(self._sink.close)  # seals and syncs

    async def _wait_for_calls(self, timeout_s: float) -> None:
        holding = [live.holding for live in self._calls.values() if live.holding is not None]
        if holding:
            await asyncio.wait(holding, timeout=timeout_s)


def _draining() -> StageBusy:
    return StageBusy("host_draining", "this host is stopping; another one takes the call in a moment", "calls")
