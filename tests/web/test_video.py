"""Cameras and screens on the page: what is shown, what is asked of the node, what is sent."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.scripted_node import SCREEN, ScriptedNode, Stay
from tests.web.test_voice import connected, in_company
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOB, EVE = 11, 12
FULL_SCREEN_PRIORITY = 200


def tile(here: Visitor, username: str, kind: str = "camera") -> Locator:
    return here.page.locator(f'[data-testid="video-tile"][data-user="{username}"][data-kind="{kind}"]')


async def until(here: Visitor, condition: str) -> None:
    async with asyncio.timeout(10):
        await here.evaluate(f"near.until(() => {condition})")


async def shares(stay: Stay, somebody: dict[str, Any], *sources: str) -> None:
    somebody["sources"] = list(sources)
    await stay.send(op="changed", participant=somebody)


async def watched(stay: Stay, *csrcs: int, **content: Any) -> dict[int, dict[str, Any]]:
    """The next `watch` for these, all with that content: the wishes by csrc."""
    async with asyncio.timeout(10):
        while True:
            wishes = {each["csrc"]: each for each in (await stay.tells("watch"))["slots"]}
            if wishes.keys() == set(csrcs) and all(each.items() >= content.items() for each in wishes.values()):
                return wishes


async def shown(here: Visitor, stay: Stay, wish: dict[str, Any], csrc: int, limit: str | None = None) -> None:
    """The node fills the slot of `wish`, and says from which frame on it is whose."""
    slot = wish["slot"]
    await until(here, f"near.shown({slot}) !== null")
    timestamp = await here.evaluate(f"near.shown({slot})")
    layers = {"encoding": 1, "spatial": 0, "temporal": 2, "limit": limit}
    await stay.send(op="videos", videos=[{"slot": slot, "csrc": csrc, "rtp_timestamp": timestamp, **layers}])


async def in_the_room(visit: Visit, node: ScriptedNode, ann: Person, bob: Person, **how: Any) -> tuple[Visitor, Stay]:
    node.others = [node.somebody(bob.user_id, BOB)]
    return await in_company(visit, node, ann, bob, **how)


async def test_the_stage_shows_who_shares_and_asks_for_the_sizes_it_draws(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_the_room(visit, node, ann, bob)
    somebody = node.others[0]
    await expect(here.see("stage")).to_be_hidden()
    await shares(stay, somebody, "camera")
    camera = tile(here, "bob")
    await expect(camera).to_be_visible()
    wish = (await watched(stay, BOB, paused=False))[BOB]
    assert await camera.evaluate("each => each.clientWidth") == wish["width"]
    assert wish["slot"] == 0
    await expect(here.participant("bob").get_by_role("img", name="camera on")).to_be_visible()
    await expect(here.page.locator('[data-testid="voice-tile"][data-user="bob"]')).to_have_count(0)

    # Whose a picture is, its frames say, not that there is one.
    await stay.picture(0, "teal")
    await until(here, "near.shown(0) !== null")
    await expect(camera).not_to_have_attribute("data-shown", "true")
    await expect(camera.locator(".avatar")).to_be_visible()
    await shown(here, stay, wish, BOB, limit="bandwidth")
    await expect(camera).to_have_attribute("data-shown", "true")
    await stay.send(op="speakers", speaking=[BOB], dominant=BOB)
    await expect(camera).to_have_attribute("data-speaking", "true")
    sign = here.button("Fair connection: bob")
    await sign.focus()
    await here.page.keyboard.press("Enter")
    panel = here.see("quality-panel")
    await expect(panel).to_contain_text("Reduced because your network gives")
    await expect(panel).to_contain_text("320 × 180")
    await expect(panel).to_contain_text("VP8")
    await here.page.keyboard.press("Escape")

    # A screen beside it makes both smaller, and comes before a face.
    await shares(stay, somebody, "camera", "screen")
    wishes = await watched(stay, BOB, SCREEN + BOB, paused=False)
    assert wishes[BOB]["slot"] == 0
    assert wishes[BOB]["width"] < wish["width"]
    assert wishes[SCREEN + BOB]["priority"] > wishes[BOB]["priority"]
    await camera.get_by_role("button", name="Pin bob").click()
    await expect(camera).to_have_attribute("data-pinned", "true")
    pinned = await watched(stay, BOB, SCREEN + BOB)
    assert pinned[BOB]["width"] > wishes[BOB]["width"]
    assert pinned[BOB]["priority"] == FULL_SCREEN_PRIORITY > pinned[SCREEN + BOB]["priority"]
    await camera.get_by_role("button", name="Pin bob").press("Enter")
    await expect(camera).to_have_attribute("data-pinned", "false")
    await watched(stay, BOB, SCREEN + BOB)

    screen = tile(here, "bob", "screen")
    await screen.hover()
    await screen.get_by_role("button", name="Full screen").click()
    full = await watched(stay, BOB, SCREEN + BOB)
    assert full[BOB]["paused"]
    assert not full[SCREEN + BOB]["paused"]
    assert full[SCREEN + BOB]["priority"] == FULL_SCREEN_PRIORITY
    await screen.get_by_role("button", name="Full screen").click()
    await watched(stay, BOB, SCREEN + BOB, paused=False)

    await here.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await watched(stay, BOB, SCREEN + BOB, paused=True)
    await here.evaluate("delete document.visibilityState, document.dispatchEvent(new Event('visibilitychange'))")
    await watched(stay, BOB, SCREEN + BOB, paused=False)
    await here.see("channel-general").click()
    await watched(stay, BOB, SCREEN + BOB, paused=True)
    await here.see("channel-Lounge").click()
    await watched(stay, BOB, SCREEN + BOB, paused=False)

    # After a break everything is said again; one who has gone is not asked for.
    await stay.hang_up()
    await stay.tells("resume")
    await watched(stay, BOB, SCREEN + BOB, paused=False)
    await stay.send(op="departed", session_id=somebody["session_id"])
    await watched(stay)
    await expect(here.see("stage")).to_be_hidden()


async def test_a_camera_is_looked_at_before_it_is_on_and_sends_what_the_node_wants_of_it(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_the_room(visit, node, ann, bob, permissions=("microphone", "camera"))
    await here.button("Turn camera on").click()
    await expect(here.see("camera-preview")).to_have_attribute("data-shown", "true")
    await expect(here.see("choose-camera").locator("option")).to_have_count(3)
    await here.see("choose-camera").select_option(label="fake_device_2")
    await expect(here.see("camera-preview")).to_have_attribute("data-shown", "true")
    await here.see("turn-camera-on").click()
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    await stay.tells("share", sources=["camera"])
    own = tile(here, "ann")
    await expect(own).to_have_attribute("data-shown", "true")
    picture = own.locator("video")
    assert await picture.evaluate("each => getComputedStyle(each).transform") == "matrix(-1, 0, 0, 1, 0, 0)"
    assert await picture.evaluate("each => each.srcObject.getTracks()[0].label") == "fake_device_2"

    await stay.send(op="produce", source="camera", codec="h264", encodings=[True, False, False])
    await until(here, "near.encodings('camera').map(({ active }) => active).join() === 'true,false,false'")
    await until(here, "near.encodings('camera')[0].codec?.mimeType === 'video/H264'")
    await until(here, "near.sent('camera').then(([q]) => q.codec === 'video/H264' && q.frames > 0)")
    await stay.send(op="produce", source="camera", codec="vp8", encodings=[True, True, True])
    await until(here, "near.encodings('camera').every((each) => each.active && each.codec.mimeType === 'video/VP8')")

    # It goes on by itself, on a new transport as well, and as the node wanted it.
    await stay.send(op="produce", source="camera", codec="vp8", encodings=[True, True, False])
    await until(here, "!near.encodings('camera')[2].active")
    node.broken = True
    await stay.hang_up()
    await stay.tells("share", sources=["camera"])
    await stay.tells("offer")
    await connected(here)
    await until(here, "near.encodings('camera').map(({ active }) => active).join() === 'true,true,false'")
    await until(here, "near.sent('camera').then(([q, h]) => q.frames && h.frames)")

    # Unplugged, another one is taken; and what was chosen is remembered.
    await here.evaluate(
        """() => {
          const { mediaDevices } = navigator;
          const all = mediaDevices.enumerateDevices.bind(mediaDevices);
          mediaDevices.enumerateDevices = async () => (await all()).filter(({ label }) => label !== "fake_device_2");
          mediaDevices.dispatchEvent(new Event("devicechange"));
        }"""
    )
    await expect(here.page.get_by_text("Your camera went away. fake_device_0 is used now.")).to_be_visible()
    await here.button("Turn camera off").first.click()
    await stay.tells("share", sources=[])
    await expect(own).to_have_count(0)
    await here.button("Turn camera on").click()
    await expect(here.see("camera-preview")).to_have_attribute("data-shown", "true")
    assert await here.evaluate("near.wanted.video.deviceId.exact.length > 10")
    await here.button("Close").click()


async def test_a_screen_is_shared_with_its_sound_until_it_is_stopped_here_or_in_the_browsers_own_bar(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_the_room(visit, node, ann, bob)
    await here.button("Share the screen").click()
    await stay.tells("share", sources=["screen", "screen_audio"])
    own = tile(here, "ann", "screen")
    await expect(own).to_have_attribute("data-shown", "true")
    assert await here.evaluate("near.screens.at(-1).contentHint") == "detail"
    assert await here.evaluate("near.connections.at(-1).getSenders()[1].track.kind") == "audio"
    await here.evaluate("near.screens.at(-1).dispatchEvent(new Event('ended'))")
    await stay.tells("share", sources=[])
    await expect(own).to_have_count(0)
    await here.evaluate("near.refuse = 'screen'")
    await here.button("Share the screen").click()  # and nothing is chosen
    await here.evaluate("near.refuse = null")
    await here.button("Share the screen").click()
    await stay.tells("share", sources=["screen", "screen_audio"])
    await here.button("Stop sharing the screen").click()
    await stay.tells("share", sources=[])

    # What somebody else plays on their screen has a volume of its own.
    await shares(stay, node.others[0], "screen", "screen_audio")
    await stay.tone(2)
    await until(here, "near.loudness() > 0.1")
    timestamp = await here.evaluate("near.played(2)")
    await stay.send(op="slots", slots=[{"slot": 2, "csrc": SCREEN + BOB, "rtp_timestamp": timestamp}])
    await tile(here, "bob", "screen").hover()
    await here.see("tile-menu").click()
    await here.see("screen-volume").fill("0")
    await until(here, "near.loudness() < 0.001")
    await expect(here.see("volume")).to_have_value("100")
    await here.page.keyboard.press("Escape")

    # Who may not show anything is told so, and shows nothing.
    await here.button("Share the screen").click()
    await stay.tells("share", sources=["screen", "screen_audio"])
    await stay.send(op="refused", code="no_video", message="not here")
    await expect(here.page.get_by_text("You may not show video in this channel.")).to_be_visible()
    await stay.tells("share", sources=[])
    await connected(here)


async def test_a_camera_that_is_blocked_is_told_with_what_to_do_and_devices_can_be_tried(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_the_room(visit, node, ann, bob, permissions=("microphone", "camera"))
    await here.evaluate("near.refuse = 'video'")
    await here.button("Turn camera on").click()
    alert = here.page.get_by_role("alert").filter(has_text="The camera is blocked for this page. Click the icon")
    await expect(alert).to_be_visible()
    await here.see("turn-camera-on").click()
    await expect(alert).to_be_visible()
    await here.page.get_by_label("Always show this first").uncheck()
    await here.button("Close").click()
    await here.button("Turn camera on").click()
    await expect(here.page.get_by_text("The camera is blocked for this page. Click the icon")).to_be_visible()
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    await here.evaluate("near.refuse = null")
    await here.button("Turn camera on").click()
    await stay.tells("share", sources=["camera"])

    await here.button("Voice and video settings").first.click()
    await until(here, "Number(document.querySelector('.meter').getAttribute('aria-valuenow')) > 20")
    before = await here.evaluate("near.microphones.length")
    await here.see("choose-microphone").select_option(label="Fake Audio Input 2")
    await until(here, f"near.microphones.length >= {before + 2}")  # of the call, and of the meter
    wanted = "near.connections.at(-1).getSenders()[0].track.label"
    await until(here, f"{wanted} === 'Fake Audio Input 2'")
    await here.see("choose-output").select_option(label="Fake Audio Output 1")
    assert await here.evaluate("Object.keys(JSON.parse(localStorage['chorale.devices'])).sort().join()") == (
        "microphone,output,skipPreview"
    )
    await here.button("Close").click()
    assert await here.evaluate("near.microphones.filter((each) => each.readyState === 'live').length") == 1


async def test_lips_are_brought_to_the_voice_in_small_steps_and_the_tiles_fill_the_stage(visit: Visit) -> None:
    here = await visit()
    await here.page.goto(here.url)
    steps = await here.evaluate(
        """async () => {
          const { step } = await import("/voice/lipsync.js");
          const of = (target, delay) => ({ target, delay });
          const buffers = (audio, video) => ({ audio: of(audio, 50), video: of(video, 30) });
          return [
            step({ ahead: 30, ...buffers(0, 0) }), // too little to notice
            step({ ahead: 200, ...buffers(0, 0) }), // the sound is ahead: it waits
            step({ ahead: 200, ...buffers(90, 0) }),
            step({ ahead: -200, ...buffers(90, 0) }), // now it is behind: it need not wait
            step({ ahead: -60, ...buffers(0, 0) }), // half of it at a time
            step({ ahead: 900, ...buffers(490, 0) }), // and no longer than one bears
          ];
        }"""
    )
    assert steps == [
        {"audio": 0, "video": 0},
        {"audio": 90, "video": 0},
        {"audio": 130, "video": 0},
        {"audio": 50, "video": 0},
        {"audio": 0, "video": 60},
        {"audio": 500, "video": 0},
    ]
    rectangles: list[list[dict[str, float]]] = await here.evaluate(
        """async () => {
          const { layOut } = await import("/views/layout.js");
          const tiles = (count) => Array.from({ length: count }, (_, key) => ({ key, isSmall: false }));
          const sizes = [[1200, 700], [360, 640], [700, 320]];
          return sizes.flatMap(([width, height]) =>
            [1, 2, 5, 9, 11].flatMap((count) =>
              [null, 0].map((pinned) => {
                const stage = { width, height };
                return [stage, ...layOut(tiles(count), stage, pinned).values()];
              })));
        }"""
    )
    for stage, *places in rectangles:
        for index, one in enumerate(places):
            assert one["width"] > 40
            assert one["left"] >= 0 <= one["top"]
            assert one["left"] + one["width"] <= stage["width"] + 1
            assert one["top"] + one["height"] <= stage["height"] + 1
            for other in places[:index]:
                apart = (
                    one["left"] >= other["left"] + other["width"]
                    or other["left"] >= one["left"] + one["width"]
                    or one["top"] >= other["top"] + other["height"]
                    or other["top"] >= one["top"] + one["height"]
                )
                assert apart, (stage, one, other)
