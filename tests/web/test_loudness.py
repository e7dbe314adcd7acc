"""How loud one hears whom: the slots as they are played, volumes, silence, and the browser that wants a click first."""

import asyncio
from statistics import median
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.control_plane.support import Person, Running
from tests.web.conftest import Visit
from tests.web.scripted_node import OWN_CSRC, ScriptedNode, Stay
from tests.web.test_voice import connected, in_company
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLOT = 2
SECOND = 48_000  # of the RTP clock
BOB, EVE = 11, 12


@pytest_asyncio.fixture(loop_scope="session")
async def eve(live: Running) -> Person:
    return await live.sign_up("eve")


async def hearing(visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person) -> tuple[Visitor, Stay]:
    """Ann beside Bob and Eve, with a tone in a slot that as yet belongs to nobody."""
    node.others = [node.somebody(bob.user_id, BOB), node.somebody(eve.user_id, EVE)]
    here, stay = await in_company(visit, node, ann, bob, eve)
    await stay.tone(SLOT)
    await until(here, "near.loudness() > 0.1")
    return here, stay


async def until(here: Visitor, condition: str) -> None:
    """Playwright's own way of waiting evaluates strings, which the page's policy forbids."""
    async with asyncio.timeout(10):
        await here.evaluate(f"near.until(() => {condition})")


async def volume(here: Visitor, username: str, percent: int) -> None:
    await here.participant(username).get_by_role("button").click()
    await here.see("volume").fill(str(percent))
    await here.page.keyboard.press("Escape")
    await expect(here.page.get_by_role("dialog")).to_have_count(0)


async def holds(here: Visitor, stay: Stay, csrc: int | None, *, after: int = 0) -> int:
    """Tells that somebody holds the slot from what is played now, or some samples later. Returns the timestamp."""
    timestamp = (await here.evaluate(f"near.played({SLOT})") + after) % 2**32
    await stay.send(op="slots", slots=[{"slot": SLOT, "csrc": csrc, "rtp_timestamp": timestamp}])
    return int(timestamp)


async def test_a_slot_takes_its_new_holders_name_and_volume_when_that_is_played_and_not_when_it_is_told(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)
    await volume(here, "bob", 50)
    await volume(here, "eve", 200)
    await holds(here, stay, BOB)
    await expect(here.participant("bob")).to_have_attribute("data-heard", "true")
    start = await holds(here, stay, EVE, after=2 * SECOND)
    heard: list[tuple[int, float]] = await here.evaluate(f"near.listen({SLOT}, {start}, {SECOND})")
    # A third of a second on either side is what looking and playing may take on a machine that is busy. A look may fall
    # into a gap of the sound there: each stretch is what most of its looks say.
    early = [loudness for at, loudness in heard if at < -2 * SECOND // 3]
    before = [loudness for at, loudness in heard if -2 * SECOND // 3 < at < -SECOND // 3]
    after = [loudness for at, loudness in heard if SECOND // 3 < at < 2 * SECOND // 3]
    assert median(before) == pytest.approx(median(early), rel=0.15), "a steady tone"
    assert 3 < median(after) / median(before) < 5, "half as loud before, twice as loud after"
    await expect(here.participant("eve")).to_have_attribute("data-heard", "true")
    await expect(here.participant("bob")).to_have_attribute("data-heard", "false")


async def test_who_is_heard_is_what_the_packets_say_and_in_ones_own_slot_nobody_is(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)
    await here.evaluate(f"near.csrc = {EVE}")
    await holds(here, stay, BOB)
    await expect(here.participant("eve")).to_have_attribute("data-heard", "true")
    await expect(here.participant("bob")).to_have_attribute("data-heard", "false")
    await here.evaluate("near.csrc = null")
    await holds(here, stay, OWN_CSRC)
    await expect(here.participant("eve")).to_have_attribute("data-heard", "false")
    await expect(here.participant("ann")).to_have_attribute("data-heard", "false")


async def test_a_volume_is_remembered_for_the_person_and_holds_when_they_come_again(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, _ = await hearing(visit, node, ann, bob, eve)
    await volume(here, "bob", 35)
    await here.page.reload()
    await here.see("channel-Lounge").click()
    stay = await node.next_stay()
    await connected(here)
    await stay.tone(SLOT)
    await until(here, "near.loudness() > 0.1")
    full = await here.evaluate("near.steadyLoudness()")
    await holds(here, stay, BOB)
    await until(here, f"near.loudness() < {full / 2}")
    await here.participant("bob").get_by_role("button").click()
    await expect(here.page.get_by_role("slider", name="Volume")).to_have_value("35")


async def test_whom_one_mutes_for_oneself_the_node_ignores_whenever_they_are_there(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)
    await holds(here, stay, BOB)
    await here.participant("bob").get_by_role("button").click()
    await here.page.get_by_role("switch", name="Mute for me").click()
    assert (await stay.said("ignore"))["csrcs"] == [BOB]
    await until(here, "near.loudness() < 0.001")
    await expect(here.participant("bob").get_by_role("img", name="muted for you")).to_be_visible()
    await expect(here.page.get_by_role("slider", name="Volume")).to_be_disabled()

    await stay.send(op="departed", session_id=node.others[0]["session_id"])
    assert (await stay.said("ignore"))["csrcs"] == []
    await stay.send(op="arrived", participant=node.somebody(bob.user_id, 77))
    assert (await stay.said("ignore"))["csrcs"] == [77]

    await here.participant("bob").get_by_role("button").click()
    await here.page.get_by_role("switch", name="Mute for me").click()
    assert (await stay.said("ignore"))["csrcs"] == []


async def test_the_menu_of_a_person_needs_no_mouse(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)
    person, keyboard = here.participant("bob").get_by_role("button"), here.page.keyboard
    await person.focus()
    await keyboard.press("Enter")
    await expect(here.page.get_by_role("dialog", name="bob")).to_be_visible()
    await expect(person).to_have_attribute("aria-expanded", "true")
    slider = here.page.get_by_role("slider", name="Volume")
    await expect(slider).to_be_focused()
    await keyboard.press("ArrowRight")
    await expect(slider).to_have_attribute("aria-valuetext", "105 percent")
    await keyboard.press("Tab")
    await keyboard.press("Space")
    assert (await stay.said("ignore"))["csrcs"] == [BOB]
    await expect(here.page.get_by_role("switch", name="Mute for me")).to_be_checked()
    await keyboard.press("Escape")
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    await expect(person).to_be_focused()
    await expect(person).to_have_attribute("aria-expanded", "false")
    await expect(here.page.get_by_role("button", name="bob muted for you").first).to_be_visible()


async def test_the_menu_closes_when_the_person_leaves(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)
    await here.participant("bob").get_by_role("button").click(button="right")
    await expect(here.page.get_by_role("dialog", name="bob")).to_be_visible()
    await stay.send(op="departed", session_id=node.others[0]["session_id"])
    await expect(here.page.get_by_role("dialog")).to_have_count(0)


async def test_one_who_is_deafened_hears_nothing_and_is_not_heard_until_both_are_undone_together(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)
    await here.button("Deafen").click()
    assert (await stay.said("mute"))["muted"] is True
    assert (await stay.said("deafen"))["deafened"] is True
    await until(here, "near.loudness() < 0.001")
    for name in ("muted", "deafened"):
        await expect(here.participant("ann").get_by_role("img", name=name, exact=True)).to_be_visible()
    await here.button("Undeafen").click()
    assert (await stay.said("mute"))["muted"] is False
    assert (await stay.said("deafen"))["deafened"] is False
    await until(here, "near.loudness() > 0.1")

    await here.button("Mute").click()
    assert (await stay.said("mute"))["muted"] is True
    await here.page.keyboard.press("Control+Shift+D")
    assert (await stay.said("deafen"))["deafened"] is True
    await here.button("Undeafen").click()
    assert (await stay.said("deafen"))["deafened"] is False  # and nothing of mute: it was muted before
    await here.button("Deafen").click()
    assert (await stay.said("deafen"))["deafened"] is True
    await here.button("Unmute").click()  # who wants to be heard wants to hear
    assert (await stay.said("mute"))["muted"] is False
    assert (await stay.said("deafen"))["deafened"] is False


async def test_where_the_browser_wants_a_click_before_it_plays_there_is_a_button(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    await ann.new_server()
    here = await visit()
    await here.page.add_init_script("near.shut = true")
    await here.arrive(ann.token)
    await here.see("channel-Lounge").click()
    await node.next_stay()
    await connected(here)
    await here.evaluate("near.shut = false")
    await here.button("Click to hear").click()
    await expect(here.button("Click to hear")).to_be_hidden()


async def test_who_speaks_is_lit_and_who_leads_the_conversation_is_lit_more(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person, eve: Person
) -> None:
    here, stay = await hearing(visit, node, ann, bob, eve)

    async def lit(username: str) -> tuple[Any, ...]:
        person = here.participant(username)
        return tuple([await person.get_attribute(f"data-{name}") for name in ("speaking", "dominant")])

    await stay.send(op="speakers", speaking=[BOB, EVE], dominant=EVE)
    await expect(here.participant("eve")).to_have_attribute("data-dominant", "true")
    assert [await lit(name) for name in ("bob", "eve")] == [("true", "false"), ("true", "true")]
    shadows = [
        await here.participant(name).locator(".avatar").evaluate("each => getComputedStyle(each).boxShadow")
        for name in ("bob", "eve")
    ]
    assert "none" not in shadows
    assert shadows[0] != shadows[1]
    await stay.send(op="speakers", speaking=[BOB], dominant=None)
    await expect(here.participant("eve")).to_have_attribute("data-speaking", "false")
    assert await lit("bob") == ("true", "false")
