from typing import Any

import pytest
from playwright.async_api import Route, expect

from control_plane.ratelimit import Rate
from control_plane.settings import Settings
from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Scrolls until the message is near the top of the view, then keeps how far it ever moves from there.
WATCH_PLACE = """
(message) => {
  const scroller = message.closest('.scroller');
  const top = () => message.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
  scroller.scrollTop += top() - 100;
  const place = top();
  window.furthest = 0;
  const look = () => {
    window.furthest = Math.max(window.furthest, Math.abs(top() - place));
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


async def both(visit: Visit, ann: Person, bob: Person) -> tuple[Visitor, Visitor, str]:
    """Ann and Bob in front of the same channel, and its id."""
    server = await ann.new_server()
    await ann.bring(bob, server)
    hers, his = await visit(), await visit()
    await hers.arrive(ann.token)
    await his.arrive(bob.token)
    for who in (hers, his):
        await expect(who.page.get_by_text("Nobody has written here yet. Say hello.")).to_be_visible()
    return hers, his, await ann.channel(server)


async def test_what_one_writes_the_other_reads_and_hears_announced(visit: Visit, ann: Person, bob: Person) -> None:
    hers, his, _ = await both(visit, ann, bob)
    await hers.say("Hello, Bob")
    await expect(his.messages).to_have_count(1)
    await expect(his.messages).to_contain_text("ann")
    await expect(his.page.locator("[aria-live=polite]")).to_have_text("ann: Hello, Bob")
    await his.say("Hello, Ann")
    await expect(hers.messages).to_have_count(2)
    await expect(hers.message("Hello, Bob")).to_have_attribute("data-status", "sent")


async def test_text_stays_text_lines_stay_lines_and_links_become_safe_links(
    visit: Visit, ann: Person, bob: Person
) -> None:
    hers, his, _ = await both(visit, ann, bob)
    await hers.see("composer").press_sequentially("<img src=x onerror=alert(1)> one")
    await hers.see("composer").press("Shift+Enter")
    await hers.see("composer").press_sequentially("see (https://example.org/a_(b)?c=1&d), or javascript:alert(1).")
    await hers.see("composer").press("Enter")
    message = his.messages
    text = "<img src=x onerror=alert(1)> one\nsee (https://example.org/a_(b)?c=1&d), or javascript:alert(1)."
    assert await message.locator(".text").inner_text() == text
    assert await message.locator("img").count() == 0
    link = message.locator("a")
    await expect(link).to_have_count(1)
    await expect(link).to_have_attribute("href", "https://example.org/a_(b)?c=1&d")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")


async def test_messages_of_one_author_are_grouped_and_days_divided(visit: Visit, ann: Person, bob: Person) -> None:
    hers, his, _ = await both(visit, ann, bob)
    for text in ("one", "two"):
        await hers.say(text)
        await expect(his.message(text)).to_be_visible()
    await his.say("three")
    await expect(hers.messages).to_have_count(3)
    heads = await hers.messages.evaluate_all("all => all.map(each => each.dataset.head)")
    assert heads == ["true", "false", "true"]
    await expect(hers.page.locator(".day")).to_have_text("Today")


async def test_older_messages_come_as_one_scrolls_up_and_nothing_jumps(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    channel = await ann.channel(server)
    for number in range(120):
        await ann.say(channel, f"message {number:03}")
    here = await visit()
    await here.arrive(ann.token)
    await expect(here.message("message 119")).to_be_in_viewport()
    assert await here.messages.count() < 120
    scroller = here.page.get_by_role("region", name="Messages")
    read = here.message("message 080")
    await read.evaluate(WATCH_PLACE)
    await expect(here.messages).to_have_count(100)
    assert await here.evaluate("window.furthest") <= 1  # px, as places are rounded
    await scroller.evaluate("each => each.scrollTop = 0")
    await expect(here.messages).to_have_count(120)
    await expect(here.page.get_by_text("Everything that was written here begins with this.")).to_be_attached()
    texts = await here.page.locator("[data-testid=message] .text").all_inner_texts()
    assert texts == [f"message {number:03}" for number in range(120)]


async def test_one_who_reads_further_up_is_not_moved_but_told_of_new_messages(
    visit: Visit, ann: Person, bob: Person
) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    channel = await ann.channel(server)
    for number in range(40):
        await ann.say(channel, f"message {number:03}")
    here = await visit()
    await here.arrive(ann.token)
    await expect(here.message("message 039")).to_be_in_viewport()
    scroller = here.page.get_by_role("region", name="Messages")
    await scroller.evaluate("each => each.scrollTop = 100")
    await expect(here.message("message 039")).not_to_be_in_viewport()
    await bob.say(channel, "something new")
    await here.button("New messages").click()
    await expect(here.message("something new")).to_be_in_viewport()


async def test_a_channel_one_does_not_look_at_shows_how_much_is_unread(visit: Visit, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    await ann.post(f"/servers/{server['server_id']}/channels", {"name": "garden", "type": "text"})
    here = await visit()
    await here.arrive(ann.token)
    await here.see("channel-garden").click()
    general = await ann.channel(server)
    await bob.say(general, "one")
    await bob.say(general, "two")
    await expect(here.see("channel-general")).to_contain_text("2")
    assert (await here.page.title()).startswith("(2) ")
    await here.see("channel-general").click()
    await expect(here.see("channel-general")).to_have_attribute("data-unread", "false")
    await expect(here.messages).to_have_count(2)


async def test_what_was_begun_is_kept_for_each_channel(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    await ann.post(f"/servers/{server['server_id']}/channels", {"name": "garden", "type": "text"})
    here = await visit()
    await here.arrive(ann.token)
    await here.see("channel-general").click()
    await here.see("composer").fill("half a thought")
    await here.see("channel-garden").click()
    await expect(here.see("composer")).to_have_value("")
    await here.see("channel-general").click()
    await expect(here.see("composer")).to_have_value("half a thought")


async def test_a_message_that_was_not_sent_says_why_and_is_sent_once_when_tried_again(
    visit: Visit, ann: Person, bob: Person
) -> None:
    hers, his, channel = await both(visit, ann, bob)

    async def cut(route: Route) -> None:
        await route.abort() if route.request.method == "POST" else await route.continue_()

    await hers.page.route(f"**/channels/{channel}/messages*", cut)
    await hers.say("can you hear me")
    await expect(hers.messages).to_have_attribute("data-status", "failed")
    await expect(hers.messages).to_contain_text("Not sent. The server cannot be reached.")
    await hers.page.unroute(f"**/channels/{channel}/messages*")
    await hers.button("Try again").click()
    await expect(hers.messages).to_have_attribute("data-status", "sent")
    await expect(his.messages).to_have_count(1)
    hers.complaints.clear()


async def test_a_message_whose_answer_was_lost_is_there_once(visit: Visit, ann: Person, bob: Person) -> None:
    hers, his, channel = await both(visit, ann, bob)

    async def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST":
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await hers.page.route(f"**/channels/{channel}/messages*", lose_the_answer)
    await hers.say("once")
    await expect(his.messages).to_have_count(1)
    await expect(hers.messages).to_have_count(1)
    await expect(hers.messages).to_have_attribute("data-status", "sent")
    await hers.page.unroute_all(behavior="wait")
    hers.complaints.clear()


class TestSlowServer:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        values: dict[str, Any] = {name: getattr(settings, name) for name in settings.__struct_fields__}
        return Settings(**{**values, "limit_messages": Rate(2, 2)})

    async def test_one_who_writes_too_fast_is_slowed_down_and_nothing_is_lost_or_out_of_order(
        self, visit: Visit, ann: Person, bob: Person
    ) -> None:
        hers, his, _ = await both(visit, ann, bob)
        words = ["one", "two", "three", "four"]
        for word in words:
            await hers.say(word)
        await expect(his.messages).to_have_count(4)
        assert await his.page.locator("[data-testid=message] .text").all_inner_texts() == words
        assert all("429" in line for line in hers.complaints)
        hers.complaints.clear()
