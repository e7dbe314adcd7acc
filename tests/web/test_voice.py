"""The page's side of a call: what it says to the node, and what it says to the person."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.scripted_node import ScriptedNode, Stay
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALLOWED = ("microphone",)


async def arrive(visit: Visit, ann: Person, permissions: tuple[str, ...] = ALLOWED) -> Visitor:
    await ann.new_server()
    here = await visit(permissions=permissions)
    await here.arrive(ann.token)
    return here


async def join(visit: Visit, node: ScriptedNode, ann: Person) -> tuple[Visitor, Stay]:
    here = await arrive(visit, ann)
    await here.see("channel-Lounge").click()
    stay = await node.next_stay()
    await connected(here)
    return here, stay


async def in_company(
    visit: Visit, node: ScriptedNode, ann: Person, *others: Person, who: Person | None = None, **how: Any
) -> tuple[Visitor, Stay]:
    """Ann, or `who`, in the Lounge of Ann's server, of which the others are members."""
    server = await ann.new_server()
    for each in others:
        await ann.bring(each, server)
    here = await visit(**how)
    await here.arrive((who or ann).token)
    await here.see("channel-Lounge").click()
    stay = await node.next_stay()
    await connected(here)
    return here, stay


async def connected(here: Visitor) -> None:
    await expect(here.see("voice-state")).to_have_text("Connected")


async def test_one_offer_carries_what_one_may_send_and_every_slot_there_will_be(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    assert stay.user_id == ann.user_id
    lines = re.findall(r"^m=(\w+)[\s\S]+?^a=(sendonly|recvonly)", stay.offer, re.MULTILINE)
    sound = [("audio", "sendonly")] * 2 + [("audio", "recvonly")] * 8
    assert lines == sound + [("video", "sendonly")] * 2 + [("video", "recvonly")] * 9
    assert re.findall("a=simulcast:send .*", stay.offer) == ["a=simulcast:send q;h;f\r", "a=simulcast:send q;f\r"]
    codecs = set(re.findall(r"^a=rtpmap:\d+ (\w+)/90000", stay.offer, re.MULTILINE))
    assert codecs == {"VP8", "H264", "VP9", "AV1", "rtx"}
    assert len(stay.offer) < 40_000
    assert "a=group:BUNDLE" in stay.offer
    assert await here.page.locator("audio").count() == 8
    await expect(here.page.locator(".dock-ping")).to_contain_text("ms")


async def test_mute_is_told_to_the_node_and_leaving_frees_everything(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    await here.see("mute").click()
    assert (await stay.said("mute"))["muted"] is True
    await expect(here.see("mute")).to_have_attribute("aria-label", "Unmute")
    await expect(here.participant("ann")).to_have_attribute("data-muted", "true")
    await here.page.keyboard.press("Control+Shift+M")
    assert (await stay.said("mute"))["muted"] is False
    await here.see("leave").click()
    await stay.said("leave")
    await stay.gone.wait()
    await expect(here.see("voice-state")).to_have_count(0)
    assert await here.page.locator("audio").count() == 0


async def test_who_comes_mutes_and_goes_is_shown(visit: Visit, node: ScriptedNode, ann: Person, bob: Person) -> None:
    here, stay = await join(visit, node, ann)
    await expect(here.participant("ann")).to_have_attribute("data-muted", "false")
    server = (await ann.get("/servers"))[0]
    await ann.bring(bob, server)
    somebody = node.somebody(bob.user_id)
    await stay.send(op="arrived", participant=somebody)
    await expect(here.participant("bob")).to_have_attribute("data-muted", "false")
    await expect(here.participant("bob")).to_have_attribute("data-speaking", "false")
    await stay.send(op="changed", participant=somebody | {"muted": True})
    await expect(here.participant("bob")).to_have_attribute("data-muted", "true")
    await stay.send(op="departed", session_id=somebody["session_id"])
    await expect(here.participant("bob")).to_have_count(0)


async def test_ones_own_voice_lights_up_unless_muted(visit: Visit, node: ScriptedNode, ann: Person) -> None:
    here, _ = await join(visit, node, ann)
    await here.sees_speaking("ann")
    await here.see("mute").click()
    await expect(here.participant("ann")).to_have_attribute("data-speaking", "false")


async def test_a_refusal_is_told_in_words_and_can_be_tried_again(visit: Visit, node: ScriptedNode, ann: Person) -> None:
    node.refusal = {"code": "bad_offer", "message": "the offer is not an SDP this node can answer"}
    here = await arrive(visit, ann)
    await here.see("channel-Lounge").click()
    alert = here.page.get_by_role("alert").filter(has_text="The voice server refused")
    await expect(alert).to_contain_text("the offer is not an SDP this node can answer.")
    node.refusal = None
    await here.button("Try again").click()
    await connected(here)


async def test_without_a_microphone_one_can_join_and_listen(visit: Visit, node: ScriptedNode, ann: Person) -> None:
    here = await arrive(visit, ann, permissions=())
    await here.see("channel-Lounge").click()
    await expect(here.page.get_by_role("alert").filter(has_text="The microphone is blocked")).to_be_visible()
    await here.see("listen").click()
    stay = await node.next_stay()
    await connected(here)
    assert (await stay.said("mute"))["muted"] is True
    await expect(here.see("mute")).to_have_attribute("aria-label", "Turn microphone on")
    await here.see("mute").click()
    await expect(here.page.get_by_role("alert").filter(has_text="The microphone is blocked")).to_be_visible()
    await here.page.context.grant_permissions(["microphone"])
    await here.see("mute").click()
    await expect(here.see("mute")).to_have_attribute("aria-label", "Mute")
    await here.sees_speaking("ann")


async def test_a_node_that_no_longer_answers_is_left_for_a_fresh_join(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, first = await join(visit, node, ann)
    await here.see("mute").click()
    node.silent = node.forgetful = True
    await first.gone.wait()
    node.silent = False
    second = await node.next_stay()
    assert second.session_id != first.session_id
    await connected(here)
    assert (await second.said("mute"))["muted"] is True  # as before


async def test_one_who_joined_elsewhere_is_told_and_stays_out(visit: Visit, node: ScriptedNode, ann: Person) -> None:
    here, stay = await join(visit, node, ann)
    await stay.send(op="ended", reason="replaced")
    await expect(here.page.get_by_role("alert").filter(has_text="You joined voice somewhere else")).to_be_visible()
    await expect(here.see("voice-state")).to_have_text("Not connected")
    await here.button("Close").click()
    await expect(here.see("voice-state")).to_have_count(0)


async def test_a_node_that_shuts_down_is_followed_by_another_join(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    await stay.send(op="ended", reason="shutdown")
    await stay.hang_up()
    await node.next_stay()
    await connected(here)


async def test_the_microphone_is_asked_for_with_its_processing_on(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here = await arrive(visit, ann)
    await here.see("channel-Lounge").click()
    await node.next_stay()
    assert await here.evaluate("near.wanted") == {
        "audio": {"echoCancellation": True, "noiseSuppression": True, "autoGainControl": True}
    }
