"""What who runs the server may do with people in voice, and what one sees to whom it was done."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.scripted_node import ScriptedNode, Stay
from tests.web.test_voice import in_company
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Requests:
    """Answers what the page asks about participants; `status`: with what."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, Any]] = []
        self.status = 200

    async def put_in(self, visitor: Visitor) -> None:
        await visitor.page.route("**/participants/*", self._answer)

    async def _answer(self, route: Route) -> None:
        request = route.request
        self.made.append((request.method, request.url, request.post_data_json if request.post_data else None))
        problem = {"code": "missing_permissions", "message": "Only the owner may do that."}
        body = "" if self.status == 200 else json.dumps(problem)
        await route.fulfill(status=self.status, content_type="application/json", body=body)


async def menu_of_bob(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> tuple[Visitor, Stay, Requests, dict[str, Any]]:
    """The owner with Bob's menu open."""
    somebody = node.somebody(bob.user_id)
    node.others = [somebody]
    here, stay = await in_company(visit, node, ann, bob)
    [server] = await ann.get("/servers")
    await ann.post(f"/servers/{server['server_id']}/channels", {"name": "Kitchen", "type": "voice"})
    await expect(here.see("channel-Kitchen")).to_be_visible()
    requests = Requests()
    await requests.put_in(here)
    await here.participant("bob").get_by_role("button").click()
    return here, stay, requests, somebody


async def test_the_owner_mutes_and_deafens_for_everyone_and_the_menu_shows_it_when_it_is_so(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, stay, requests, somebody = await menu_of_bob(visit, node, ann, bob)
    for name, what, label in (
        ("Mute for everyone", "server_muted", "muted by the owner"),
        ("Deafen", "server_deafened", "deafened by the owner"),
    ):
        switch = here.page.get_by_role("switch", name=name)
        await switch.click()
        method, url, body = requests.made.pop()
        assert (method, body) == ("PATCH", {what: True})
        assert url.endswith(f"/channels/{stay.channel_id}/participants/{bob.user_id}")
        await expect(switch).not_to_be_checked()
        somebody[what] = True
        await stay.send(op="changed", participant=somebody)
        await expect(switch).to_be_checked()
        await expect(here.participant("bob").get_by_role("img", name=label)).to_be_visible()
    await here.page.get_by_role("switch", name="Mute for everyone").click()
    assert requests.made.pop()[2] == {"server_muted": False}


async def test_the_owner_moves_and_disconnects(visit: Visit, node: ScriptedNode, ann: Person, bob: Person) -> None:
    here, _, requests, _ = await menu_of_bob(visit, node, ann, bob)
    [server] = await ann.get("/servers")
    channels = await ann.get(f"/servers/{server['server_id']}/channels")
    kitchen = next(each["channel_id"] for each in channels if each["name"] == "Kitchen")
    await here.button("Move to Kitchen").click()
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    assert requests.made.pop()[2] == {"channel_id": kitchen}
    await here.participant("bob").get_by_role("button").click()
    await here.button("Disconnect").click()
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    assert requests.made.pop()[0] == "DELETE"


async def test_what_was_not_allowed_is_told_in_words(
    visit: Visit, node: ScriptedNode, ann: Person, bob: Person
) -> None:
    here, _, requests, _ = await menu_of_bob(visit, node, ann, bob)
    requests.status = 403
    await here.button("Disconnect").click()
    await expect(here.page.get_by_text("Only the owner may do that.")).to_be_visible()
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
