"""Stream keys, as the page makes, shows and revokes them; and how it tells how good the call is."""

from typing import Any

import pytest
from playwright.async_api import expect

from control_plane.actions.stream_keys import MAX_KEYS
from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.scripted_node import ScriptedNode
from tests.web.test_voice import join

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_stream_key_is_made_shown_once_copied_and_revoked(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    lounge = await ann.channel(server, "voice")
    await ann.post(f"/channels/{lounge}/stream-keys", {"name": "The mixer"})
    here = await visit(permissions=("clipboard-read", "clipboard-write"))
    await here.arrive(ann.token)
    await here.button("Stream into Lounge").click()
    dialog = here.page.get_by_role("dialog", name="Stream into Lounge")
    await expect(dialog.get_by_role("listitem")).to_contain_text(["The mixer"])

    await dialog.get_by_label("New key").fill("OBS")
    await here.page.keyboard.press("Enter")
    await expect(here.button("Copy: Server (WHIP)")).to_be_focused()
    key = await dialog.get_by_label("Bearer token", exact=True).input_value()
    assert len(key) > 20
    for name, value in (("Server (WHIP)", f"{here.url}/whip/{lounge}"), ("Bearer token", key)):
        await expect(dialog.get_by_label(name, exact=True)).to_have_value(value)
        await here.button(f"Copy: {name}").click()
        await expect(here.button(f"Copied: {name}")).to_be_visible()
        assert await here.evaluate("navigator.clipboard.readText()") == value
    await expect(dialog.get_by_role("listitem")).to_contain_text(["The mixer", "OBS"])

    await here.button("Revoke OBS").click()
    await expect(dialog.get_by_role("status")).to_have_text("The key “OBS” does not work any more.")
    await expect(dialog.get_by_label("Bearer token", exact=True)).to_have_count(0)
    await expect(dialog.get_by_role("listitem")).to_contain_text(["The mixer"])
    assert [each["name"] for each in await ann.get(f"/channels/{lounge}/stream-keys")] == ["The mixer"]


async def test_a_key_without_a_name_is_not_made_and_one_too_many_is_told(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    lounge = await ann.channel(server, "voice")
    for number in range(MAX_KEYS):
        await ann.post(f"/channels/{lounge}/stream-keys", {"name": f"key {number}"})
    here = await visit()
    await here.arrive(ann.token)
    await here.see("stream-Lounge").click()
    await here.see("make-stream-key").click()
    await expect(here.page.get_by_text("Name what will use it")).to_be_visible()
    await here.see("stream-key-name").fill("OBS")
    await here.see("make-stream-key").click()
    alert = here.page.get_by_role("alert").filter(has_text=f"You have {MAX_KEYS} stream keys for this channel already.")
    await expect(alert).to_be_visible()
    here.complaints.clear()


def report(**inbound: int) -> list[dict[str, Any]]:
    return [
        {"type": "inbound-rtp", **inbound},
        {"type": "remote-inbound-rtp", "fractionLost": 0.0},
        {"type": "candidate-pair", "nominated": True, "currentRoundTripTime": 0.04},
    ]


SECONDS = 48_000
SILENT = {"totalSamplesReceived": 60 * SECONDS, "concealedSamples": 30 * SECONDS}


@pytest.mark.parametrize(
    ("inbound", "grade", "reason"),
    [
        # Half of it was filled in, all of that silence: nothing is wrong.
        (
            SILENT | {"silentConcealedSamples": 30 * SECONDS},
            "good",
            "40 ms to the voice server and back. Nothing gets lost.",
        ),
        # Three of the thirty-three seconds in which there was sound.
        (SILENT | {"silentConcealedSamples": 27 * SECONDS}, "poor", "9.1% of what you hear is made up for lost sound."),
        ({"packetsReceived": 95, "packetsLost": 5}, "fair", "5% of what is sent to you gets lost."),
    ],
)
async def test_the_quality_of_a_call_is_shown_with_its_reason_and_silence_is_no_fault(
    visit: Visit, node: ScriptedNode, ann: Person, inbound: dict[str, int], grade: str, reason: str
) -> None:
    here, _ = await join(visit, node, ann)
    await here.evaluate("stats => (near.stats = stats)", report())
    await expect(here.see("quality")).to_have_attribute("data-grade", "good")
    await here.evaluate("stats => (near.stats = stats)", report(**inbound))
    sign = here.button(f"{grade.capitalize()} connection")
    await expect(sign).to_be_visible()
    await expect(here.page.get_by_role("tooltip")).to_be_hidden()
    await sign.hover()
    await expect(here.page.get_by_role("tooltip")).to_be_visible()
    await expect(here.page.get_by_role("tooltip")).to_contain_text(reason)
