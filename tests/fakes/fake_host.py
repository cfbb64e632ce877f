"""Call hosts without Ray: real routes, sockets and WebRTC lines; recogniser, model, voice and ears are fakes.

Each host serves its own listener on loopback, which is the same application that Serve gets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioice.ice
import httpx
import pytest
import yaml

import serve_app.calls
from configs.settings import AppArgs
from deployments.contracts.errors import StageFailed
from deployments.contracts.speech import VadVerdict, VadWindows
from deployments.host_board import HostState
from serve_app.calls import CallHost
from tests.fakes.answering_machine import until
from tests.fakes.fake_call import FakeAsr, FakeSink, FakeTts, FakeVad
from tests.fakes.fake_knowledge import FakeKnowledge, a_passage
from tests.fakes.fake_llm import FakeLlm
from tests.fakes.fake_tenant import a_tenant

LOOPBACK = "127.0.0.1"
NUMBER = "+97145550199"
SDP = {"content-type": "application/sdp"}
TRICKLE = {"content-type": "application/trickle-ice-sdpfrag"}
CANDIDATE = b"a=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"
ANSWER = "We are open from eight to eight. On Friday we close at noon."

OFFER = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS stream
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:8hhY
a=ice-pwd:asd88fgpdd777uzjYhagZg11
a=ice-options:trickle
a=fingerprint:sha-256 D2:B9:31:8F:DF:24:D8:0E:ED:D2:EF:25:9E:AF:6F:B8:34:AE:53:9C:E6:F3:8F:F2:64:15:FA:E8:7F:53:2D:38
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:stream track
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:2231627014 cname:4TOk42mSjXCkVIa6
a=ssrc:2231627014 msid:stream track
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:8hhY
a=ice-pwd:asd88fgpdd777uzjYhagZg11
a=ice-options:trickle
a=fingerprint:sha-256 D2:B9:31:8F:DF:24:D8:0E:ED:D2:EF:25:9E:AF:6F:B8:34:AE:53:9C:E6:F3:8F:F2:64:15:FA:E8:7F:53:2D:38
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
""".replace("\n", "\r\n")
"""What Chrome sends, its candidates still to come: a call that is opened with it stays unconnected."""


class FakeVadClient(FakeVad):
    """The `vad` deployment: loud is speech."""

    async def judge_batch(self, batch: list[VadWindows]) -> list[VadVerdict]:
        verdicts = [await self.judge(windows) for windows in batch]
        return [verdict for verdict in verdicts if verdict is not None]


class ClosableFakeSink(FakeSink):
    """A sink that knows it has been sealed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.failed: StageFailed | None = None

    def close(self) -> None:
        self.closed = True


class FakeBoard:
    """A `HostBoard` in memory; `broken` is raised instead."""

    def __init__(self) -> None:
        self.states: dict[str, HostState] = {}
        self.broken: Exception | None = None

    async def write(self, state: HostState) -> None:
        if self.broken is not None:
            raise self.broken
        self.states[state.address] = state

    async def erase(self, address: str) -> None:
        self.states.pop(address, None)

    async def read(self) -> list[HostState]:
        return list(self.states.values())


class FakeHost(CallHost):
    """What Serve awaits (`__init__`, `__del__`), `open_host` awaits."""

    asr: FakeAsr
    llm: FakeLlm
    tts: FakeTts
    knowledge: FakeKnowledge
    sink: ClosableFakeSink

    async def drain(self) -> None:
        """What Serve does when the replica is to stop."""
        await CallHost.__del__(self)

    def __del__(self) -> None:  # type: ignore[override]
        """The garbage collector must not make a coroutine that nobody awaits."""

    async def ready_for_calls(self) -> None:
        """Warm, and seen by the others and seeing them as of now."""
        await until(lambda: self._warm)
        await self.peers.refresh()

    @property
    def calls(self) -> int:
        """How many it has now."""
        return len(self._calls)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What the stored events of that type say."""
        return [event.data for event in self.sink.events if event.type == kind]


def write_tenants(folder: Path) -> Path:
    """`fake` is open on loopback, `locked` wants a token, `asleep` takes no calls."""
    folder.mkdir(exist_ok=True)
    changes: dict[str, dict[str, Any]] = {
        "fake": {"open_on_loopback": True, "numbers": [NUMBER]},
        "locked": {},
        "asleep": {"active": False, "open_on_loopback": True},
    }
    for name, change in changes.items():
        tenant = a_tenant(id=name, **change).model_dump(mode="json", exclude_none=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tenant), encoding="utf-8")
    return folder


@asynccontextmanager
async def open_host(
    state: Path, *texts: str, board: FakeBoard | None = None, **profile: Any
) -> AsyncIterator[FakeHost]:
    """A host whose caller says `texts`. Hosts of one `state` share their keys."""
    values = {
        "name": "test",
        "engines": {stage: {"kind": "emulated"} for stage in ("asr", "llm", "tts")},
        "media": {"host_addresses": [LOOPBACK]},
        "deployments": {"call_host": {"graceful_shutdown_timeout_s": 1}},
    }
    file = state / "test.yaml"
    file.write_text(yaml.safe_dump(values | profile), encoding="utf-8")
    args = AppArgs(profile=str(file), state_dir=str(state), tenants=str(write_tenants(state / "tenants")))
    host = FakeHost.__new__(FakeHost)
    host.asr, host.llm, host.tts, host.sink = FakeAsr(*texts), FakeLlm(ANSWER), FakeTts(), ClosableFakeSink()
    host.knowledge = FakeKnowledge([a_passage("We are open from eight to eight.")])
    with pytest.MonkeyPatch.context() as patch:
        for name, fake in {
            "AsrClient": host.asr,
            "LlmClient": host.llm,
            "TtsClient": host.tts,
            "VadClient": FakeVadClient(),
            "KnowledgeClient": host.knowledge,
        }.items():
            patch.setattr(serve_app.calls, name, lambda fake=fake: fake)
        patch.setattr(aioice.ice, "get_host_addresses", aioice.ice.get_host_addresses)  # a host sets it; put it back
        await CallHost.__init__(host, args, lambda folder: host.sink, board or FakeBoard())
        try:
            yield host
        finally:
            if not host.sink.closed:
                await host.drain()
            for live in list(host._calls.values()):  # there are none, unless the test has failed
                live.session.end("test_over")
                await live.line.close()


def client(host: FakeHost) -> httpx.AsyncClient:
    """Talks to the host's listener; follows no redirect."""
    return httpx.AsyncClient(base_url=host.url, trust_env=False, timeout=20)


async def post_offer(http: httpx.AsyncClient, offer: str = OFFER, tenant: str = "fake") -> str:
    """Open a call that nobody connects to; its path."""
    answer = await http.post(f"/v1/calls?tenant={tenant}", content=offer.encode(), headers=SDP)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["code"]
