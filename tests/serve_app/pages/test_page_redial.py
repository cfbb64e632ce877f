"""The page dials again by itself: a line that breaks, a server that restarts, busy lines; and when it gives up."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect
from starlette.responses import JSONResponse, Response

from tests.fakes.chromium import CHROMIUM, shot
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

GREETING = {"type": "agent.text", "turn": 0, "reply": 0, "text": "Welcome.", "sources": []}
FULL = {"code": "host_full", "detail": "20 of 20"}


def proxy_page(status: int) -> Response:
    """What a proxy says whose server is not there (yet)."""
    return Response("<h1>not now</h1>", status)


async def open_with_stopped_clock(page: Page, url: str) -> None:
    """Countdowns move only when the test says so."""
    await page.clock.install(time=1_000_000)
    await page.clock.pause_at(2_000_000)
    await page.goto(url)
    await expect(page.locator("#engines")).not_to_be_empty()


async def connect(page: Page) -> None:
    await page.locator("#call").click()
    await expect(page.locator("#text")).to_be_enabled()
    await expect(page.locator("#clock")).to_have_text("0:00")


async def seconds(page: Page, count: int) -> None:
    """They pass on the page."""
    for _ in range(count):
        await page.clock.run_for(1000)


@pytest.mark.parametrize(
    ("lang", "lost", "countdown", "divider"),
    [
        (
            "en",
            "The connection was lost.",
            "Calling again in 1 s (try 1 of 5)",
            "The line broke; this is a new call. The agent starts afresh.",
        ),
        (
            "ar",
            "انقطع الاتصال.",
            "معاودة الاتصال بعد 1 ث (المحاولة 1 من 5)",
            "انقطع الخط، وهذه مكالمة جديدة. يبدأ المساعد من البداية.",
        ),
    ],
)
async def test_a_line_that_breaks_is_dialled_again_and_the_talk_stays(
    page: Page, url: str, stand_in: StandIn, lang: str, lost: str, countdown: str, divider: str
) -> None:
    stand_in.talk = [GREETING, {"type": "transcript.interim", "text": "when are"}]
    await open_with_stopped_clock(page, f"{url}/?lang={lang}")
    await connect(page)

    await stand_in.close()

    await expect(page.get_by_role("alert")).to_have_text(lost)
    await shot(page, f"redial-{lang}")
    await expect(page.locator(".countdown")).to_have_text(countdown)
    await expect(page.locator("#text")).to_be_disabled()
    assert stand_in.offers == 1
    await seconds(page, 1)
    await expect(page.get_by_role("log").locator("li")).to_have_count(3)
    items = await page.get_by_role("log").locator("li").all_inner_texts()
    assert [items[0].endswith("Welcome."), items[1], items[2].endswith("Welcome.")] == [True, divider, True]
    await expect(page.locator("#notice")).to_be_hidden()
    await expect(page.locator("#text")).to_be_enabled()
    assert stand_in.offers == 2


async def test_the_microphone_stays_open_between_the_tries(page: Page, url: str, stand_in: StandIn) -> None:
    await page.add_init_script(
        "const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices); window.asked = 0;"
        "navigator.mediaDevices.getUserMedia = (what) => { window.asked += 1; return open(what); };"
    )
    await open_with_stopped_clock(page, url)
    await connect(page)
    await stand_in.close()
    await expect(page.locator(".countdown")).to_contain_text("try 1 of 5")

    await seconds(page, 1)

    await expect(page.locator("#text")).to_be_enabled()
    assert stand_in.offers == 2
    assert await page.evaluate("window.asked") == 1  # some browsers ask the caller each time


@pytest.mark.parametrize(
    ("reason", "words", "redialled"),
    [
        ("caller_goodbye", "The agent said goodbye.", False),
        ("host_shutdown", "The server was stopped or is being restarted. Call again in a moment.", False),
        ("connection_lost", "The connection was lost.", True),
    ],
)
async def test_an_end_whose_event_was_lost_is_asked_for(
    page: Page, url: str, stand_in: StandIn, reason: str, words: str, redialled: bool
) -> None:
    await open_with_stopped_clock(page, url)
    await connect(page)
    stand_in.state = {"state": "ended", "reason": reason}

    await stand_in.close()

    await expect(page.get_by_role("alert")).to_have_text(words)
    await seconds(page, 10)
    await expect(page.locator("#text")).to_be_enabled(enabled=redialled)
    assert stand_in.offers == 1 + redialled


@pytest.mark.parametrize(
    ("first", "words", "wait_s"),
    [
        (proxy_page(502), "The server is starting or restarting.", 1),
        (Response("", 503, {"Retry-After": "7"}), "The server is starting or restarting.", 7),
        (Response("", 503, {"Retry-After": "600"}), "The server is starting or restarting.", 10),
        (JSONResponse({"code": "route_unknown", "detail": ""}, 404), "The server is starting or restarting.", 1),
        (JSONResponse(FULL, 503, {"Retry-After": "3"}), "All lines are busy.", 3),
    ],
)
async def test_a_server_that_cannot_now_is_asked_again(
    page: Page, url: str, stand_in: StandIn, first: Response, words: str, wait_s: int
) -> None:
    stand_in.refusals = [first]
    await open_with_stopped_clock(page, url)

    await page.locator("#call").click()

    await expect(page.get_by_role("alert")).to_have_text(words)
    await expect(page.locator(".countdown")).to_have_text(f"Calling again in {wait_s} s (try 1 of 5)")
    await seconds(page, wait_s - 1)
    assert stand_in.offers == 1
    await seconds(page, 1)
    await expect(page.locator("#connection")).to_have_text("connected")
    await expect(page.locator("#notice")).to_be_hidden()
    await expect(page.locator(".divider")).to_have_count(0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            proxy_page(502),
            "The server does not answer. Check that it runs and that you are connected, then call again.",
        ),
        (JSONResponse(FULL, 503), "All lines are busy. Please try again in a moment."),
    ],
)
async def test_after_five_tries_it_gives_up(
    page: Page, url: str, stand_in: StandIn, answer: Response, words: str
) -> None:
    stand_in.refusals = [answer] * 9
    await open_with_stopped_clock(page, url)

    await page.locator("#call").click()
    for attempt, wait_s in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 16)):
        await expect(page.locator(".countdown")).to_have_text(f"Calling again in {wait_s} s (try {attempt} of 5)")
        await seconds(page, wait_s)

    await expect(page.get_by_role("alert")).to_have_text(words)
    await expect(page.get_by_role("button", name="Call")).to_be_visible()
    await seconds(page, 60)
    assert stand_in.offers == 6


async def test_a_line_that_breaks_each_time_is_not_dialled_for_ever(page: Page, url: str, stand_in: StandIn) -> None:
    await open_with_stopped_clock(page, url)
    await connect(page)

    for wait_s in (1, 2, 4, 8, 16):
        await stand_in.close()
        await expect(page.locator(".countdown")).to_contain_text(f"in {wait_s} s")
        await seconds(page, wait_s)
        await expect(page.locator("#text")).to_be_enabled()
    await stand_in.close()

    await expect(page.get_by_role("alert")).to_have_text("The connection was lost. Call again.")
    await expect(page.get_by_role("button", name="Call")).to_be_visible()


async def test_who_has_talked_has_all_tries_again(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [{"type": "transcript.final", "turn": 1, "text": "hello"}]
    await open_with_stopped_clock(page, url)
    await connect(page)
    await stand_in.close()
    await expect(page.locator(".countdown")).to_contain_text("try 1 of 5")
    await seconds(page, 1)
    await expect(page.get_by_role("log").locator("li.said")).to_have_count(2)

    await stand_in.close()

    await expect(page.locator(".countdown")).to_contain_text("in 1 s (try 1 of 5)")


async def test_waiting_can_be_cancelled(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.refusals = [proxy_page(503)]
    await open_with_stopped_clock(page, url)
    await page.locator("#call").click()
    await expect(page.locator(".countdown")).to_contain_text("try 1 of 5")

    await page.get_by_role("button", name="Cancel").click()

    await expect(page.get_by_role("button", name="Call")).to_be_visible()
    await expect(page.locator("#notice")).to_be_hidden()
    await seconds(page, 20)
    assert stand_in.offers == 1


async def test_a_server_that_is_gone_is_waited_for(page: Page, url: str) -> None:
    await open_with_stopped_clock(page, url)
    await page.route("**/v1/calls*", lambda route: route.abort())

    await page.locator("#call").click()

    await expect(page.get_by_role("alert")).to_have_text("The server is starting or restarting.")


@pytest.mark.parametrize(
    ("status", "problem", "words"),
    [
        (404, {"code": "tenant_unknown", "detail": "x"}, "There is no call centre of this name."),
        (401, {"code": "token_missing", "detail": "x"}, "You are not allowed to call here."),
        (400, {"code": "offer_odd", "detail": "no audio"}, "The call did not work. (no audio)"),
        (400, {"code": "toString", "detail": ""}, "The call did not work."),
    ],
)
async def test_what_waiting_cannot_mend_is_said_at_once(
    page: Page, url: str, stand_in: StandIn, status: int, problem: dict[str, Any], words: str
) -> None:
    stand_in.refusals = [JSONResponse(problem, status)]
    await open_with_stopped_clock(page, url)

    await page.locator("#call").click()

    await expect(page.get_by_role("alert")).to_contain_text(words)
    await expect(page.get_by_role("button", name="Call")).to_be_visible()
    await expect(page.locator(".countdown")).to_be_empty()
