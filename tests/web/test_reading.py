"""That everyone can read and reach everything: contrast, keyboard, small screens, themes."""

import re
from itertools import product

import pytest
from playwright.async_api import expect

from control_plane.settings import Settings
from tests.control_plane.support import Person, Running
from tests.web.conftest import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = (Settings().web_dir / "style" / "tokens.css").read_text()
GROUNDS = ("ground", "side", "surface", "raised")
AA_TEXT, AA_CONTROL = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11


def palette(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r"\s*\{(.*?)\}", TOKENS, re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", block.group(1)))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [":root", ':root[data-theme="dark"]'])
async def test_every_text_colour_reads_well_on_every_ground(theme: str) -> None:
    colours = palette(theme)
    inks = ("ink", "ink-soft", "ink-faint", "accent-text")
    pairs = [*product(inks, GROUNDS), ("accent-ink", "accent"), ("bad", "bad-ground"), ("warn", "warn-ground")]
    assert [pair for pair in pairs if contrast(*(colours[name] for name in pair)) < AA_TEXT] == []
    edges = product(["line-strong"], GROUNDS[1:])
    assert [pair for pair in edges if contrast(*(colours[name] for name in pair)) < AA_CONTROL] == []


async def test_the_dark_theme_by_choice_is_the_dark_theme_of_the_system() -> None:
    assert palette(':root[data-theme="dark"]') == palette(":root:not([data-theme])")


async def test_the_theme_follows_the_system_until_one_is_chosen_and_that_is_remembered(
    visit: Visit, ann: Person
) -> None:
    here = await visit(color_scheme="dark")
    await here.arrive(ann.token)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await here.evaluate(ground)
    await here.page.emulate_media(color_scheme="light")
    light = await here.evaluate(ground)
    assert dark != light
    await here.button("Dark theme").click()
    assert await here.evaluate(ground) == dark
    await here.page.reload()
    assert await here.evaluate(ground) == dark
    await expect(here.button("Light theme")).to_be_visible()


async def test_a_dialog_keeps_the_focus_closes_on_escape_and_gives_the_focus_back(visit: Visit, ann: Person) -> None:
    here = await visit()
    await here.arrive(ann.token)
    await here.see("new-server").focus()
    await here.page.keyboard.press("Enter")
    await expect(here.see("server-name")).to_be_focused()
    for _ in range(8):
        await here.page.keyboard.press("Tab")
        outside = "!document.activeElement.closest('dialog') && document.activeElement !== document.body"
        assert not await here.evaluate(outside)
    await here.page.keyboard.press("Escape")
    await expect(here.page.get_by_role("dialog")).to_have_count(0)
    await expect(here.see("new-server")).to_be_focused()


async def test_the_whole_way_to_a_message_needs_no_mouse(visit: Visit) -> None:
    here = await visit()
    await here.page.goto(here.url)
    keyboard = here.page.keyboard
    await keyboard.press("Tab")
    await keyboard.type("ann")
    await keyboard.press("Tab")
    await keyboard.type("correct horse")
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await here.button("Create a server").focus()
    await keyboard.press("Enter")
    await expect(here.see("server-name")).to_be_focused()
    await keyboard.type("Home")
    await keyboard.press("Enter")
    await expect(here.see("composer")).to_be_focused()
    await keyboard.type("typed")
    await keyboard.press("Enter")
    await expect(here.message("typed")).to_have_attribute("data-status", "sent")


@pytest.mark.parametrize("width", [360, 390, 768, 1024])
async def test_nothing_sticks_out_of_a_small_screen(visit: Visit, ann: Person, width: int) -> None:
    server = await ann.new_server("A name that is rather long for a server, as names of servers sometimes are")
    await ann.say(await ann.channel(server), "https://example.org/" + "long" * 60)
    here = await visit(viewport={"width": width, "height": 700})
    await here.arrive(ann.token)
    await expect(here.messages).to_have_count(1)
    assert await here.evaluate("document.documentElement.scrollWidth") == width
    inside = "[...document.querySelectorAll('.main *')].every(e => e.getBoundingClientRect().right <= innerWidth + 1)"
    assert await here.evaluate(inside)


async def test_on_a_phone_channels_are_in_a_drawer_that_closes_behind_one(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    await ann.post(f"/servers/{server['server_id']}/channels", {"name": "garden", "type": "text"})
    here = await visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    await here.arrive(ann.token)
    await expect(here.see("composer")).to_be_visible()
    await expect(here.see("channel-garden")).to_be_hidden()
    menu = here.button("Servers and channels")
    await menu.tap()
    await here.see("channel-garden").tap()
    await expect(here.see("channel-garden")).to_be_hidden()
    await expect(here.page.get_by_role("heading", name="garden").first).to_be_visible()
    await menu.tap()
    await here.page.keyboard.press("Escape")
    await expect(here.see("channel-garden")).to_be_hidden()
    await expect(menu).to_be_focused()


async def test_every_control_has_a_name(visit: Visit, ann: Person) -> None:
    await ann.new_server()
    here = await visit()
    await here.arrive(ann.token)
    await expect(here.see("composer")).to_be_visible()
    nameless = await here.evaluate(
        """[...document.querySelectorAll("button, input, textarea, a")]
          .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length))
          .map((each) => each.outerHTML)"""
    )
    assert nameless == []


async def test_the_page_is_served_under_a_policy_that_forbids_inline_code(live: Running) -> None:
    for path in ("/", "/invite/anything"):
        answer = await live.http.get(path)
        assert answer.status_code == 200
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=", answer.text)
