"""What this project is for: people who hear and read each other, each in a real browser, through real servers."""

import asyncio
import itertools

import pytest
from playwright.async_api import expect

from tests.end_to_end.browser import by_csrc
from tests.end_to_end.gathering import GAUGES, everything_freed, gathering
from tests.end_to_end.jury import RECORDINGS, Jury
from tests.end_to_end.scoring import SILENCE, SPEECH, level
from tests.end_to_end.server import Server
from tests.end_to_end.speech import Voice


@pytest.mark.timeout(300)
async def test_three_people_hear_each_other_until_one_mutes_and_all_leave(
    chorale: Server, voices: dict[str, Voice]
) -> None:
    async with gathering(chorale, voices) as here:
        people, ids = here.people, here.ids
        for who in people.values():
            await who.join_voice("Lounge")
        for who, somebody in itertools.product(people.values(), repeat=2):
            await expect(who.participant(somebody)).to_be_visible()

        # Everyone records at the same time: this is a conversation, and it takes a third of the time.
        rounds = 4 * max(voice.seconds for voice in voices.values()) + 1
        jury = Jury(voices)
        for _ in range(RECORDINGS):
            recordings = await asyncio.gather(*(who.record(rounds) for who in people.values()))
            for (name, who), recording in zip(people.items(), recordings, strict=True):
                heard = by_csrc(recording)
                assert who.csrc_of(ids[name]) not in heard, f"{name} hears an echo"
                for other in voices.keys() - {name}:
                    jury.hear(name, other, heard[who.csrc_of(ids[other])], who.concealed)
            if not jury.unclear:
                break
        assert not jury.unclear, {name: await who.inbound() for name, who in people.items()}

        listener, muted = people["grace"], people["ada"]
        await muted.see("mute").click()
        await expect(listener.participant(muted)).to_have_attribute("data-muted", "true")
        await listener.page.wait_for_timeout(500)  # what was under way when it was clicked
        heard = by_csrc(await listener.record(3))
        assert level(heard[listener.csrc_of(ids["alan"])]) > SPEECH, "the one who did not mute is still heard"
        if (csrc := listener.csrc_of(ids["ada"])) in heard:
            assert level(heard[csrc]) < SILENCE
        await muted.see("mute").click()
        await expect(listener.participant(muted)).to_have_attribute("data-muted", "false")
        await expect(listener.participant(muted)).to_have_attribute("data-speaking", "true")

        assert chorale.counters()["peers"] == len(people)
        for who in people.values():
            await who.leave()
        assert await everything_freed(chorale) == dict.fromkeys(GAUGES, 0)
        assert {name: who.complaints for name, who in people.items()} == {name: [] for name in people}


@pytest.mark.timeout(120)
async def test_a_browser_that_dies_leaves_nothing_behind(chorale: Server, voices: dict[str, Voice]) -> None:
    async with gathering(chorale, {"ada": voices["ada"]}) as here:
        await here.people["ada"].join_voice("Lounge")
        assert chorale.counters()["peers"] == 1
    assert await everything_freed(chorale) == dict.fromkeys(GAUGES, 0)


@pytest.mark.timeout(120)
async def test_a_message_typed_in_one_window_appears_in_the_other(chorale: Server, voices: dict[str, Voice]) -> None:
    async with gathering(chorale, {name: voices[name] for name in ("ada", "grace")}) as here:
        ada, grace = here.people.values()
        for who in (ada, grace):
            await who.open("general")
        await ada.say("<b>Hello</b> from the other window 👋")
        for who in (ada, grace):
            await expect(who.see("message")).to_contain_text(["<b>Hello</b> from the other window 👋"])
        await grace.say("I read you")
        await expect(ada.see("message")).to_have_count(2)
        await expect(ada.see("message").last).to_contain_text("I read you")
        assert [*ada.complaints, *grace.complaints] == []
