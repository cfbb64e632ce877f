"""The page's line: moved to another connection when it breaks, rated, and told to the server as it is heard here."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.fakes.chromium import CHROMIUM, PATIENCE_MS
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

KEEP_PEERS = """
    window.peers = [];
    const Peer = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Peer {
      constructor(...more) { super(...more); window.peers.push(this); }
    };
"""
BREAK = """() => {
    const peer = window.peers.at(-1);
    Object.defineProperty(peer, "connectionState", { value: "failed" });
    peer.onconnectionstatechange();
}"""


async def connect(page: Page, url: str) -> None:
    await page.add_init_script(KEEP_PEERS)
    await page.goto(url)
    await page.locator("#call").click()
    await expect(page.locator("#text")).to_be_enabled()
    await expect(page.locator("#clock")).not_to_be_empty()


async def test_a_connection_that_breaks_is_replaced_and_the_call_goes_on(
    page: Page, url: str, stand_in: StandIn
) -> None:
    stand_in.talk = [{"type": "agent.text", "turn": 0, "reply": 0, "text": "Welcome.", "sources": []}]
    await connect(page, url)
    await expect(page.get_by_role("log").locator("li")).to_have_count(1)

    await page.evaluate(BREAK)

    await expect(page.locator("#connection")).to_have_text("connected")
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while await page.evaluate("window.peers.length") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await expect(page.locator("#text")).to_be_enabled()
    stand_in.send({"type": "transcript.final", "turn": 1, "text": "still here"})
    await expect(page.get_by_role("log").locator("li")).to_have_count(2)  # no divider: it is the same call
    assert (stand_in.offers, stand_in.moves) == (1, 1)
    assert not stand_in.hung_up.is_set()
    assert (await page.evaluate("window.peers[0].signalingState")) == "closed"


async def test_a_call_that_cannot_be_moved_is_dialled_again(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.may_move = False
    stand_in.talk = [{"type": "agent.text", "turn": 0, "reply": 0, "text": "Welcome.", "sources": []}]
    await connect(page, url)
    await expect(page.get_by_role("log").locator("li")).to_have_count(1)

    await page.evaluate(BREAK)

    await expect(page.get_by_role("log")).to_contain_text("this is a new call")
    assert (stand_in.offers, stand_in.moves) == (2, 1)


@pytest.mark.parametrize(("mos", "words"), [(4.2, "good line"), (3.7, "fair line"), (2.0, "poor line")])
async def test_the_line_is_rated(page: Page, url: str, stand_in: StandIn, mos: float, words: str) -> None:
    stand_in.talk = [{"type": "quality", "mos": mos, "alarm": mos < 3}, {"type": "quality", "mos": None}]
    await connect(page, url)

    await expect(page.locator("#connection")).to_have_text(f"connected · {words}")
    await expect(page.locator("#notice")).to_be_visible(visible=mos < 3)


async def test_the_server_is_told_what_is_heard_here(page: Page, url: str, stand_in: StandIn) -> None:
    await connect(page, url)

    async with asyncio.timeout(PATIENCE_MS / 1000):
        while len(stand_in.stats) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    told = stand_in.stats[1]
    assert told["type"] == "caller.stats"
    assert 0 <= told["jitter_ms"] < 500 and 0 <= told["loss_percent"] <= 100
    assert 0 < told["jitter_buffer_ms"] < 2000
