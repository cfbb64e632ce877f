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
from configs.settings import AppArgs, load_profile
from deployments.clients import AsrClient, KnowledgeClient, LlmClient, TtsClient, VadClient
from deployments.contracts.call_events import CallEvent
from deployments.contracts.errors import CallOver, NotAllowed, StageBusy, StageFailed
from deployments.vad_tick import VadTicker
from serve_app.call.record import CallRecord
from serve_app.call.session import CallParts, CallSession
from serve_app.call.standard_lines import StandardLines
from serve_app.call_tokens import CallToken, CallTokens
from serve_app.calls_http import build_calls_app
from serve_app.dialogue.agents import Dialogue
from serve_app.doors.offer import read_offer
from serve_app.doors.webrtc import WebRtcLine, offer_host_addresses
from serve_app.held_calls import EndedCall, LiveCall
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
LEAVE_S = 4.0
"""Of the replica's shutdown time, kept for telling the callers that it is over."""
DRAIN_MARGIN_S = 1.0
"""Of the same, kept for closing what is left."""


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
        self, args: AppArgs, open_sink: Callable[[Path], ClosableSink]
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
        offer_host_addresses(self.profile.media)
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
        self._warm = False
        self._housekeeping = asyncio.create_task(self._keep_house())

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._app

    # ------------------------------------------------------------ a call's beginning

    async def open_call(self, tenant: Tenant, body: bytes) -> tuple[str, str]:
        """Answer an offer; returns the call token and the SDP answer. Raises `BadOffer`, `StageBusy`."""
        offer = read_offer(body)
        if self._draining:
            raise _draining()
        if len(self._calls) >= self.profile.limits.max_calls_per_host:
            raise StageBusy("host_full", "this host takes no further call at the moment", "calls")
        call = uuid.uuid4().hex
        line = WebRtcLine(self.profile.media)
        record = CallRecord(call, tenant.id, 1, self._sink, line.send_event)
        session = CallSession(call, tenant, self.profile, self._parts(tenant, line, record))
        live = LiveCall(session, line, CallToken(call, tenant.id, self.address, epoch=1))
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

    def _parts(self, tenant: Tenant, line: WebRtcLine, record: CallRecord) -> CallParts:
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
        started = {"tenant_name": session.tenant.name, "profile": self.profile.name, "channel": "webrtc"}
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
        return {"calls": len(self._calls), "most_calls": self.profile.limits.max_calls_per_host}

    async def check_health(self) -> None:
        """Serve restarts the replica when this raises."""
        if self._housekeeping.done():
            self._housekeeping.result()

    async def __del__(self) -> None:
        """Serve calls this when the replica is to stop: live calls end first, as long as there is time."""
        self._draining = True
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
