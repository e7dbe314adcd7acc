"""What who runs the server may do with people in voice, and what one sees to whom it was done."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import expect

from proto.media import DeafenSession, EndSession, MediaCommand, MoveSession, MuteSession, SessionChanged
from tests.control_plane.support import Person, Running
from tests.web.conftest import Visit
from tests.web.scripted_node import ScriptedNode, Stay
from tests.web.test_voice import connected, in_company
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def menu_of_bob(
    visit: Visit, node: ScriptedNode, live: Running, ann: Person, bob: Person
) -> tuple[Visitor, Stay, dict[str, Any]]:
    """The owner beside Bob, whose menu is open; Bob as the node knows him."""
    server = await ann.new_server()
    await ann.bring(bob, server)
    await ann.post(f"/servers/{server['server_id']}/channels", {"name": "Kitchen", "type": "voice"})
    lounge = await ann.channel(server, "voice")
    admission = await bob.post(f"/channels/{lounge}/join")
    live.pipe.start(admission, lounge, bob.user_id)
    somebody = node.somebody(bob.user_id) | {"session_id": admission["session_id"]}
    node.others = [somebody]
    here = await visit()
    await here.arrive(ann.token)
    await expect(here.participant("bob")).to_be_visible()
    await here.see("channel-Lounge").click()
    stay = await node.next_stay()
    await connected(here)
    await here.participant("bob").get_by_role("button").click()
    return here, stay, somebody


async def command(live: Running) -> MediaCommand:
    async with asyncio.timeout(10):
        return await live.pipe.commands.get()


async def test_the_owner_mutes_and_deafens_for_everyone_and_the_menu_shows_it_when_it_is_so(
    visit: Visit, node: ScriptedNode, live: Running, ann: Person, bob: Person
) -> None:
    here, stay, somebody = await menu_of_bob(visit, node, live, ann, bob)
    session_id = UUID(somebody["session_id"])
    for name, what, label, expected in (
        ("Mute for everyone", "server_muted", "muted by the owner", MuteSession(session_id, True)),
        ("Deafen", "server_deafened", "deafened by the owner", DeafenSession(session_id, True)),
    ):
        switch = here.page.get_by_role("switch", name=name)
        await switch.click()
        assert await command(live) == expected
        await expect(switch).not_to_be_checked()
        somebody[what] = True
        await stay.send(op="changed", participant=somebody)
        await expect(switch).to_be_checked()
        await expect(here.participant("bob").get_by_role("img", name=label)).to_be_visible()
    live.pipe.report(SessionChanged(session_id, server_muted=True, server_deafened=True))
    await here.page.get_by_role("switch", name="Mute for everyone").click()
    assert await command(live) == MuteSession(session_id, False)


async def test_the_owner_moves_and_disconnects(
    visit: Visit, node: ScriptedNode, live: Running, ann: Person, bob: Person
) -> None:
    here, _, somebody = await menu_of_bob(visit, node, live, ann, bob)
    await here.button("Move to Kitchen").click()
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    move = await command(live)
    assert isinstance(move, MoveSession)
    assert str(move.session_id) == somebody["session_id"]
    await here.participant("bob").get_by_role("button").click()
    await here.button("Disconnect").click()
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    assert await command(live) == EndSession(move.session_id, "removed")


async def test_what_could_not_be_done_is_told_in_words(
    visit: Visit, node: ScriptedNode, live: Running, ann: Person, bob: Person
) -> None:
    node.others = [node.somebody(bob.user_id)]  # of whom the control plane does not know
    here, _ = await in_company(visit, node, ann, bob)
    await here.participant("bob").get_by_role("button").click()
    await here.button("Disconnect").click()
    await expect(here.page.locator(".notice.wrong")).to_have_text("There is no such participant in this channel.")
    here.complaints.clear()


async def test_others_than_the_owner_only_decide_for_themselves(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    node.others = [node.somebody(ann.user_id)]
    here, _ = await in_company(visit, node, ann, bob, who=bob)
    await here.participant("ann").get_by_role("button").click()
    menu = here.page.get_by_role("dialog", name="ann")
    await expect(menu.get_by_role("slider", name="Volume")).to_be_focused()
    await expect(menu.get_by_role("switch")).to_have_count(1)
    await expect(menu.get_by_role("button")).to_have_count(0)
    await expect(here.participant("bob").get_by_role("button")).to_have_count(0)


async def test_one_who_was_muted_and_deafened_by_the_owner_sees_so_and_why_the_buttons_do_nothing(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay = await in_company(visit, node, ann, bob, who=bob)
    await stay.send(op="changed", participant=stay.participant(server_muted=True, server_deafened=True))
    for name, label in (("Mute", "muted by the owner"), ("Deafen", "deafened by the owner")):
        button = here.button(name)
        await expect(button).to_be_disabled()
        description = re.compile(f"^The owner of this server {label.split()[0]} you")
        await expect(button).to_have_accessible_description(description)
        await button.press("Enter")
        await expect(here.page.get_by_text(f"The owner of this server {label.split()[0]} you.")).to_be_visible()
        await expect(here.participant("bob").get_by_role("img", name=label)).to_be_visible()
    await expect(here.participant("bob")).to_have_attribute("data-speaking", "false")
    assert stay.frames.empty(), "it is not one's own mute"
    assert not await here.evaluate("near.microphones[0].enabled")

    await stay.send(op="changed", participant=stay.participant())
    await expect(here.button("Mute")).to_be_enabled()
    assert await here.evaluate("near.microphones[0].enabled")
    await here.button("Mute").click()
    assert (await stay.said("mute"))["muted"] is True
