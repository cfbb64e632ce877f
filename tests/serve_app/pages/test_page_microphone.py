"""The page's microphone and speaker: chosen, remembered, changed in a call, unplugged, muted, silent."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.fakes.chromium import CHROMIUM, PATIENCE_MS
from tests.fakes.page_talk import DESK_HZ, DEVICES, HEADSET_HZ, connect, heard_hz
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

LISTENING = {"type": "call.state", "state": "listening"}


async def test_microphones_have_names_once_allowed_and_the_list_follows_the_plugs(desk: Page) -> None:
    await desk.get_by_text("Microphone and speaker").click()
    microphones = desk.get_by_label("Microphone", exact=True).locator("option")
    await expect(microphones).to_have_text(["Standard of this computer", "None: I will write"])
    await expect(desk.get_by_text("The names appear once the microphone has been allowed.")).to_be_visible()

    await connect(desk)

    some = ["Standard of this computer", "The desk", "The headset", "None: I will write"]
    await expect(microphones).to_have_text(some)
    await expect(desk.locator("#names-later")).to_be_hidden()
    await desk.evaluate("devices.plug('guitar', 220)")
    await expect(microphones).to_have_text([*some[:-1], "The guitar", some[-1]])


async def test_another_microphone_in_the_same_call(desk: Page, stand_in: StandIn) -> None:
    await connect(desk)
    await heard_hz(stand_in, DESK_HZ)
    await desk.get_by_text("Microphone and speaker").click()

    await desk.get_by_label("Microphone", exact=True).select_option("headset")

    await heard_hz(stand_in, HEADSET_HZ)
    opened = await desk.evaluate("devices.opened.map(({ id, audio, track }) => [id, audio, track.readyState])")
    cleaning = {"echoCancellation": True, "noiseSuppression": True, "autoGainControl": True}
    assert opened == [
        ["desk", cleaning, "ended"],
        ["headset", {**cleaning, "deviceId": {"exact": "headset"}}, "live"],
    ]
    assert stand_in.offers == 1


async def test_the_choice_is_remembered(desk: Page, stand_in: StandIn) -> None:
    await connect(desk)
    await desk.get_by_text("Microphone and speaker").click()
    await desk.get_by_label("Microphone", exact=True).select_option("headset")
    await desk.reload()

    await connect(desk)

    assert await desk.evaluate("devices.opened.map(({ id }) => id)") == ["headset"]
    await expect(desk.locator("#microphones")).to_have_value("headset")
    await expect(desk.locator("#hint")).to_be_empty()


async def test_without_storage_the_choice_lasts_as_long_as_the_page(page: Page, url: str) -> None:
    await page.add_init_script(path=DEVICES)
    await page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    await page.goto(url)
    await connect(page)
    await page.get_by_text("Microphone and speaker").click()
    await page.get_by_label("Microphone", exact=True).select_option("headset")
    await page.get_by_role("button", name="Hang up").click()

    await connect(page)

    assert await page.evaluate("devices.opened.map(({ id }) => id)") == ["desk", "headset", "headset"]


async def test_a_remembered_microphone_that_is_gone_is_told_of(desk: Page, stand_in: StandIn) -> None:
    await desk.evaluate("localStorage.setItem('dukat.microphone', 'sold')")
    await desk.reload()

    await connect(desk)

    await expect(desk.locator("#hint")).to_have_text(
        "The microphone you chose last time is not there. The standard one is used."
    )
    await heard_hz(stand_in, DESK_HZ)
    await expect(desk.locator("#microphones")).to_have_value("")


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", "The microphone was unplugged. The standard one is used now."),
        ("ar", "فُصل الميكروفون، ويُستخدم الافتراضي الآن."),
    ],
)
async def test_an_unplugged_microphone_gives_way_to_the_standard_one(
    page: Page, url: str, stand_in: StandIn, lang: str, words: str
) -> None:
    await page.add_init_script(path=DEVICES)
    await page.goto(f"{url}/?lang={lang}")
    await connect(page)
    await heard_hz(stand_in, DESK_HZ)

    await page.evaluate("devices.unplug('desk')")

    await expect(page.locator("#hint")).to_have_text(words)
    await heard_hz(stand_in, HEADSET_HZ)
    assert stand_in.offers == 1


async def test_the_last_microphone_unplugged_leaves_the_writing(desk: Page, stand_in: StandIn) -> None:
    await connect(desk)
    await desk.evaluate("devices.unplug('headset')")

    await desk.evaluate("devices.unplug('desk')")

    await expect(desk.locator("#hint")).to_have_text(
        "The microphone was unplugged and there is no other. You can go on in writing."
    )
    await desk.get_by_role("textbox").fill("still here")
    await desk.get_by_role("textbox").press("Enter")
    assert (await stand_in.typed.get())["text"] == "still here"
    await expect(desk.get_by_role("button", name="Mute")).to_be_hidden()


async def test_muted_nothing_is_heard_also_after_a_change_of_microphone(desk: Page, stand_in: StandIn) -> None:
    await connect(desk)
    await heard_hz(stand_in, DESK_HZ)
    mute = desk.get_by_role("button", name="Mute")

    await mute.press("Enter")
    await expect(mute).to_have_attribute("aria-pressed", "true")
    await desk.evaluate("devices.unplug('desk')")
    await expect(desk.locator("#hint")).not_to_be_empty()
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while np.abs(await stand_in.hears()).max() > 3:
            pass
    await mute.press("Enter")

    await expect(mute).to_have_attribute("aria-pressed", "false")
    await heard_hz(stand_in, HEADSET_HZ)


async def test_the_meter_shows_the_level(desk: Page) -> None:
    await connect(desk)
    meter = desk.get_by_role("meter", name="Microphone level")

    await expect(meter).to_be_visible()
    await expect(meter).to_have_attribute("aria-valuenow", re.compile("^(4|5|6).$"))  # the tone has -33 dBFS
    await desk.get_by_role("button", name="Mute").click()
    await expect(meter).to_have_attribute("aria-valuenow", "0")


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", "We hear nothing from this microphone. Is it the right one?"),
        ("ar", "لا نسمع شيئاً من هذا الميكروفون. هل هو الميكروفون الصحيح؟"),
    ],
)
async def test_a_silent_microphone_is_asked_about(
    page: Page, url: str, stand_in: StandIn, lang: str, words: str
) -> None:
    await page.add_init_script(path=DEVICES)
    await page.add_init_script("devices.microphones.desk = 0;")
    await page.clock.install()
    await page.goto(f"{url}/?lang={lang}")
    await connect(page)
    await page.clock.run_for(7000)  # nobody listens yet
    await expect(page.locator("#hint")).to_be_empty()
    stand_in.send(LISTENING)
    await expect(page.locator("#state")).to_have_attribute("data-state", "listening")

    await page.clock.run_for(6500)

    await expect(page.locator("#hint")).to_have_text(words)
    await page.locator("#settings summary").click()
    await page.locator("#microphones").select_option("headset")
    await expect(page.locator("#hint")).to_be_empty()


async def test_a_speaker_can_be_chosen(desk: Page) -> None:
    await desk.evaluate(
        "() => { HTMLMediaElement.prototype.setSinkId = async function (id) { this.dataset.sink = id; }; }"
    )
    await connect(desk)
    await desk.get_by_text("Microphone and speaker").click()

    await desk.get_by_label("Speaker", exact=True).select_option("phones")

    await expect(desk.locator("#agent")).to_have_attribute("data-sink", "phones")
    await desk.evaluate(
        "() => { HTMLMediaElement.prototype.setSinkId = () => Promise.reject(new DOMException('gone')); }"
    )
    await desk.get_by_label("Speaker", exact=True).select_option("room")
    await expect(desk.locator("#hint")).to_have_text("The speaker you chose is not there. The standard one is used.")


async def test_where_speakers_cannot_be_chosen_none_is_offered(page: Page, url: str) -> None:
    await page.add_init_script("delete HTMLMediaElement.prototype.setSinkId;")
    await page.add_init_script(path=DEVICES)
    await page.goto(url)

    await connect(page)
    await page.get_by_text("Microphone and speaker").click()

    await expect(page.locator("#microphones option")).to_have_count(4)
    await expect(page.locator("#speaker-row")).to_be_hidden()
