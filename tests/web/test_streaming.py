"""Stream keys, as the page makes, shows and revokes them; and how it tells how good the call is."""

import json
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.scripted_node import ScriptedNode
from tests.web.test_voice import join
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Keys:
    """The stream keys of one channel."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    async def put_in(self, visitor: Visitor) -> None:
        await visitor.page.route("**/stream-keys", self._answer)
        await visitor.page.route("**/stream-keys/*", self._answer)

    def add(self, name: str) -> dict[str, Any]:
        key = {"key_id": f"key-{len(self.kept)}", "name": name, "created_at": "2026-10-02T10:00:00Z"}
        self.kept[str(key["key_id"])] = key
        return key

    async def _answer(self, route: Route) -> None:
        request = route.request
        if request.method == "GET":
            await route.fulfill(json=list(self.kept.values()))
        elif request.method == "POST":
            await route.fulfill(status=201, json={**self.add(request.post_data_json["name"]), "key": "the-secret"})
        else:
            del self.kept[request.url.rpartition("/")[2]]
            await route.fulfill(status=204)


async def test_a_stream_key_is_made_shown_once_copied_and_revoked(visit: Visit, ann: Person) -> None:
    server = await ann.new_server()
    lounge = await ann.channel(server, "voice")
    here, keys = await visit(permissions=("clipboard-read", "clipboard-write")), Keys()
    keys.add("The mixer")
    await keys.put_in(here)
    await here.arrive(ann.token)
    await here.button("Stream into Lounge").click()
    dialog = here.page.get_by_role("dialog", name="Stream into Lounge")
    await expect(dialog.get_by_role("listitem")).to_have_text(["The mixermade Oct 2, 2026Revoke"])

    await dialog.get_by_label("New key").fill("OBS")
    await here.page.keyboard.press("Enter")
    await expect(dialog.get_by_label("Bearer token", exact=True)).to_have_value("the-secret")
    await expect(dialog.get_by_label("Server (WHIP)", exact=True)).to_have_value(f"{here.url}/whip/{lounge}")
    await expect(here.button("Copy: Server (WHIP)")).to_be_focused()
    for name, value in (("Server (WHIP)", f"{here.url}/whip/{lounge}"), ("Bearer token", "the-secret")):
        await here.button(f"Copy: {name}").click()
        await expect(here.button(f"Copied: {name}")).to_be_visible()
        assert await here.evaluate("navigator.clipboard.readText()") == value

    await here.button("Revoke OBS").click()
    await expect(dialog.get_by_role("status")).to_have_text("The key “OBS” does not work any more.")
    await expect(dialog.get_by_role("listitem")).to_have_count(1)
    assert [key["name"] for key in keys.kept.values()] == ["The mixer"]
    await expect(dialog.get_by_text("the-secret")).to_have_count(0)


async def test_a_key_without_a_name_is_not_made_and_a_refusal_is_told(visit: Visit, ann: Person) -> None:
    await ann.new_server()
    here = await visit()
    problem = json.dumps({"code": "too_many", "message": "That is enough keys for one channel."})

    async def refuse(route: Route) -> None:
        post = route.request.method == "POST"
        await route.fulfill(status=400 if post else 200, content_type="application/json", body=problem if post else "[]")

    await here.page.route("**/stream-keys", refuse)
    await here.arrive(ann.token)
    await here.see("stream-Lounge").click()
    await here.see("make-stream-key").click()
    await expect(here.page.get_by_text("Name what will use it")).to_be_visible()
    await here.see("stream-key-name").fill("OBS")
    await here.see("make-stream-key").click()
    await expect(here.page.get_by_role("alert")).to_have_text("That is enough keys for one channel.")
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
        (SILENT | {"silentConcealedSamples": 30 * SECONDS}, "good", "40 ms to the voice server and back. Nothing gets lost."),
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
