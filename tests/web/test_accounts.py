import pytest
from playwright.async_api import expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_newcomer_makes_an_account_and_is_told_what_to_do_next(visit: Visit) -> None:
    ann = await visit()
    await ann.enter("ann")
    await expect(ann.button("Create a server")).to_be_visible()
    await ann.page.reload()
    await expect(ann.page.get_by_text("Welcome, ann")).to_be_visible()


async def test_a_name_or_password_that_cannot_be_is_explained_before_anything_is_sent(visit: Visit) -> None:
    somebody = await visit()
    await somebody.enter("A!", "short")
    await expect(somebody.see("username")).to_have_attribute("aria-invalid", "true")
    await expect(somebody.see("username")).to_be_focused()
    await expect(somebody.page.get_by_text("A little longer")).to_be_visible()


async def test_a_taken_name_and_a_wrong_password_are_told_in_words(visit: Visit, ann: Person) -> None:
    somebody = await visit()
    alert = somebody.page.get_by_role("alert")
    await somebody.enter("ann")
    await expect(alert).to_have_text("The name ann is taken. If it is yours, sign in.")
    await somebody.enter("ann", "not her password", how="sign-in")
    await expect(alert).to_have_text("This name and password do not belong together.")
    await somebody.enter("ann", how="sign-in")
    await expect(somebody.button("Create a server")).to_be_visible()
    # Chromium itself complains of answers that are errors.
    assert len(somebody.complaints) == 2
    somebody.complaints.clear()


async def test_signing_out_forgets_the_account(visit: Visit, ann: Person) -> None:
    here = await visit()
    await here.arrive(ann.token)
    await here.button("Sign out").click()
    await expect(here.see("sign-in")).to_be_visible()
    assert await here.evaluate("Object.keys(localStorage)") == []
    assert (await ann.ask("GET", "/users/@me")).status_code == 401


async def test_a_session_that_was_ended_elsewhere_leads_back_to_signing_in(visit: Visit, ann: Person) -> None:
    here = await visit()
    await here.arrive(ann.token)
    await expect(here.button("Create a server")).to_be_visible()
    assert (await ann.ask("POST", "/logout")).is_success
    await expect(here.see("sign-in")).to_be_visible()
    await expect(here.page.get_by_text("You were signed out. Sign in to go on.")).to_be_visible()
    here.complaints.clear()
