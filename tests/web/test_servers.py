import pytest
from playwright.async_api import expect

from tests.control_plane.support import Person, Running
from tests.web.conftest import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_stranger_follows_an_invite_link_signs_up_and_stands_in_the_server(visit: Visit) -> None:
    ann, bob = await visit(), await visit()
    await ann.enter("ann")
    await ann.create_server("Reading circle")
    await expect(ann.see("composer")).to_be_focused()

    await bob.page.goto(await ann.invite_link())
    await expect(bob.page.get_by_role("heading", name="Reading circle")).to_be_visible()
    await bob.see("accept-invite").click()
    await bob.enter("bob")
    await expect(bob.see("channel-general")).to_have_attribute("aria-current", "page")
    assert "/invite/" not in bob.page.url
    for who in (ann, bob):
        await expect(who.see("members").locator("li")).to_have_count(2)
    await expect(ann.see("members")).to_contain_text("bob")


async def test_a_member_of_one_server_joins_another_by_pasting_its_link(visit: Visit, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    invite = await ann.post(f"/servers/{server['server_id']}/invite")
    here = await visit()
    await here.arrive(bob.token)
    field = here.page.get_by_label("Have an invite link?")
    await field.fill("what is this")
    await field.press("Enter")
    await expect(here.page.get_by_text("Paste the whole link you were given.")).to_be_visible()
    await field.fill(f"{here.url}/invite/{invite['code']}")
    await field.press("Enter")
    await expect(here.see("composer")).to_be_visible()


async def test_an_invite_that_does_not_work_says_so(visit: Visit) -> None:
    bob = await visit()
    await bob.page.goto(f"{bob.url}/invite/AAAAAAAAAAAA")
    await expect(bob.page.get_by_role("alert")).to_have_text("This invite does not work any more. Ask for a new one.")
    bob.complaints.clear()


async def test_a_new_channel_appears_at_once_for_everyone(visit: Visit, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    hers, his = await visit(), await visit()
    await hers.arrive(ann.token)
    await his.arrive(bob.token)
    await hers.see("new-channel").click()
    await hers.see("new-channel-name").fill("garden")
    await hers.see("create-channel").click()
    await expect(hers.see("channel-garden")).to_have_attribute("aria-current", "page")
    await expect(his.see("channel-garden")).to_be_visible()
    await hers.button("New voice channel").click()
    await hers.see("new-channel-name").fill("Kitchen")
    await hers.see("create-channel").click()
    await expect(his.see("channel-Kitchen")).to_be_visible()


async def test_the_address_and_the_back_button_lead_to_channels(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    garden = await ann.post(f"/servers/{server['server_id']}/channels", {"name": "garden", "type": "text"})
    here = await visit()
    await here.arrive(ann.token, f"/#/{server['server_id']}/{garden['channel_id']}")
    await expect(here.see("channel-garden")).to_have_attribute("aria-current", "page")
    await here.see("channel-general").click()
    await expect(here.see("channel-general")).to_have_attribute("aria-current", "page")
    await here.page.go_back()
    await expect(here.see("channel-garden")).to_have_attribute("aria-current", "page")
    assert await here.page.title() == f"garden · {server['name']} · Chorale"


async def test_who_is_in_a_voice_channel_is_seen_from_outside(
    visit: Visit, live: Running, ann: Person, bob: Person
) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    lounge = await ann.channel(server, "voice")
    here = await visit()
    await here.arrive(ann.token)
    await expect(here.see("channel-Lounge")).to_be_visible()
    admission = (await bob.ask("POST", f"/channels/{lounge}/join")).json()
    live.pipe.start(admission, lounge, bob.user_id)
    await expect(here.participant("bob")).to_have_attribute("data-muted", "false")
    live.pipe.mute(admission, True)
    await expect(here.participant("bob")).to_have_attribute("data-muted", "true")
    live.pipe.end(admission, "left")
    await expect(here.participant("bob")).to_have_count(0)
