"""A call that breaks mends itself: nobody touches anything in these tests."""

import pytest
from playwright.async_api import expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.scripted_node import ScriptedNode, Stay, fingerprint, ufrag
from tests.web.test_voice import connected, in_company, join
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def pretend(here: Visitor, state: str | None) -> None:
    await here.evaluate("state => near.connections.at(-1).pretend(state)", state)


async def reconnecting(here: Visitor) -> None:
    await expect(here.see("voice-state")).to_have_text("Reconnecting…")
    await expect(here.page.get_by_role("dialog")).to_have_count(0)


async def open_connections(here: Visitor) -> int:
    states: list[str] = await here.evaluate("near.connections.map(each => each.signalingState)")
    return sum(state != "closed" for state in states)


async def restarts_ice(stay: Stay) -> None:
    offer = (await stay.said("offer"))["offer"]
    assert fingerprint(offer) == fingerprint(stay.offer)
    assert ufrag(offer) != ufrag(stay.offer)


async def takes_a_new_transport(stay: Stay, here: Visitor, node: ScriptedNode) -> None:
    offer = (await stay.said("offer"))["offer"]
    assert fingerprint(offer) != fingerprint(stay.offer)
    assert offer.count("m=audio") == 10
    await connected(here)
    assert await open_connections(here) == 1
    assert await here.page.locator("audio").count() == 8
    assert await here.evaluate("near.microphones.length") == 1, "the same microphone"
    await node.microphone_heard()


@pytest.mark.parametrize("state", ["disconnected", "failed"])
async def test_a_way_that_breaks_is_sought_anew_on_the_same_socket(
    visit: Visit, node: ScriptedNode, ann: Person, state: str
) -> None:
    here, stay = await join(visit, node, ann)
    await pretend(here, state)
    await restarts_ice(stay)
    await reconnecting(here)
    await pretend(here, None)
    await connected(here)
    assert await here.evaluate("near.connections.length") == 1


async def test_where_no_new_way_is_found_a_new_transport_is_taken(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    node.offer_refusal = {"code": "bad_offer", "message": "not this one"}
    await pretend(here, "failed")
    await restarts_ice(stay)
    node.offer_refusal = None
    await takes_a_new_transport(stay, here, node)


async def test_a_socket_that_breaks_is_resumed_while_the_media_go_on(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_company(visit, node, ann, bob)
    token = stay.token
    node.others = [node.somebody(bob.user_id)]
    await stay.hang_up()
    assert (await stay.said("resume"))["token"] == token
    # What was said last may not have arrived: it is said again.
    assert (await stay.said("mute"))["muted"] is False
    assert (await stay.said("deafen"))["deafened"] is False
    assert (await stay.said("ignore"))["csrcs"] == []
    await connected(here)
    await expect(here.participant("bob")).to_be_visible()
    assert await here.evaluate("near.connections.length") == 1
    token = stay.token
    await stay.hang_up()
    assert (await stay.said("resume"))["token"] == token


async def test_a_node_that_does_not_answer_is_asked_again_on_a_new_socket(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    node.silent = True
    await stay.said("resume")
    node.silent = False
    await connected(here)
    assert await here.evaluate("near.connections.length") == 1


async def test_what_is_pressed_meanwhile_is_told_when_the_socket_is_back(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    node.open.clear()
    await stay.hang_up()
    await reconnecting(here)
    await here.see("mute").click()
    await expect(here.button("Unmute")).to_be_visible()
    node.open.set()
    await stay.said("resume")
    assert (await stay.said("mute"))["muted"] is True
    await connected(here)


async def test_a_resumed_stay_whose_transport_is_gone_takes_a_new_one(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    node.broken = True
    await stay.hang_up()
    for op in ("resume", "mute", "deafen", "ignore"):
        await stay.said(op)
    await takes_a_new_transport(stay, here, node)


async def test_a_stay_that_cannot_be_resumed_is_followed_by_a_fresh_join(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, first = await join(visit, node, ann)
    await here.see("deafen").click()
    node.forgetful = True
    await first.hang_up()
    second = await node.next_stay()
    assert second.session_id != first.session_id
    assert (await second.said("mute"))["muted"] is True
    assert (await second.said("deafen"))["deafened"] is True
    await connected(here)
    assert await here.evaluate("near.microphones.length") == 1


async def test_a_node_that_lost_the_transport_gets_a_new_one_with_the_same_microphone(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    await stay.send(op="restart")
    await takes_a_new_transport(stay, here, node)


async def test_on_another_network_a_new_way_is_sought_at_once(visit: Visit, node: ScriptedNode, ann: Person) -> None:
    here, stay = await join(visit, node, ann)
    await here.evaluate("dispatchEvent(new Event('online'))")
    for op in ("resume", "mute", "deafen", "ignore"):
        await stay.said(op)
    await restarts_ice(stay)
    await connected(here)


async def test_only_another_kind_of_network_counts_as_another_one(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    await ann.new_server()
    here = await visit()
    await here.page.add_init_script(
        """Object.defineProperty(navigator, "connection", {
             value: Object.assign(new EventTarget(), { type: "wifi", downlink: 10 }),
           })"""
    )
    await here.arrive(ann.token)
    await here.see("channel-Lounge").click()
    stay = await node.next_stay()
    await connected(here)
    change = "navigator.connection.dispatchEvent(new Event('change'))"
    await here.evaluate(f"navigator.connection.downlink = 2; {change}")
    await here.see("mute").click()
    await stay.said("mute")  # and nothing before it
    await here.evaluate(f"navigator.connection.type = 'cellular'; {change}")
    for op in ("resume", "mute", "deafen", "ignore"):
        await stay.said(op)
    await restarts_ice(stay)


async def test_one_who_is_moved_sees_the_other_channel_and_who_is_there(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_company(visit, node, ann, bob)
    [server] = await ann.get("/servers")
    kitchen = await ann.post(f"/servers/{server['server_id']}/channels", {"name": "Kitchen", "type": "voice"})
    await expect(here.see("channel-Kitchen")).to_be_visible()
    participants = [stay.participant(), node.somebody(bob.user_id)]
    await stay.send(op="moved", channel_id=kitchen["channel_id"], participants=participants, slots=[])
    await expect(here.see("channel-Kitchen")).to_have_attribute("aria-current", "page")
    await expect(here.page.get_by_text("You were moved to Kitchen.")).to_be_visible()
    inside = here.page.get_by_role("list", name="In Kitchen")
    await expect(inside.get_by_role("listitem")).to_have_count(2)
    await expect(here.page.get_by_role("list", name="In Lounge").get_by_role("listitem")).to_have_count(0)
    await expect(here.page.locator(".dock-where")).to_have_text("Kitchen · Home")
    await connected(here)


async def test_one_who_is_moved_while_reading_goes_on_reading(visit: Visit, node: ScriptedNode, ann: Person) -> None:
    here, stay = await in_company(visit, node, ann)
    [server] = await ann.get("/servers")
    kitchen = await ann.post(f"/servers/{server['server_id']}/channels", {"name": "Kitchen", "type": "voice"})
    await expect(here.see("channel-Kitchen")).to_be_visible()
    await here.see("channel-general").click()
    await stay.send(op="moved", channel_id=kitchen["channel_id"], participants=[stay.participant()], slots=[])
    await expect(here.page.locator(".dock-where")).to_have_text("Kitchen · Home")
    await expect(here.see("channel-general")).to_have_attribute("aria-current", "page")


async def test_a_microphone_that_is_unplugged_gives_way_to_another_one_and_that_is_said(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, _ = await join(visit, node, ann)
    await here.evaluate("near.microphones.at(-1).dispatchEvent(new Event('ended'))")
    await expect(here.page.get_by_text("Your microphone went away. Fake")).to_be_visible()
    assert await here.evaluate("near.microphones.map(each => each.readyState)") == ["ended", "live"]
    await here.sees_speaking("ann")
    await node.microphone_heard()
    await connected(here)


async def test_a_microphone_that_is_no_longer_listed_counts_as_unplugged(
    visit: Visit, node: ScriptedNode, ann: Person
) -> None:
    here, stay = await join(visit, node, ann)
    await here.evaluate(
        """() => {
          navigator.mediaDevices.enumerateDevices = async () => [];
          navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("none", "NotFoundError"); };
          navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
        }"""
    )
    alert = here.page.get_by_role("alert").filter(has_text="Your microphone went away. You still hear everyone")
    await expect(alert).to_be_visible()
    assert (await stay.said("mute"))["muted"] is True
    await expect(here.button("Turn microphone on")).to_be_visible()
    await connected(here)
