import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import profiles

from control_plane import passwords
from control_plane.context import moment
from proto.ids import parse_id
from tests.control_plane.support import PASSWORD, Person, Running, in_process, settings_for


async def test_a_new_user_is_signed_in(here: Running, ann: Person) -> None:
    me = await ann.get("/users/@me")
    assert me == {"user_id": ann.user_id, "username": "ann", "avatar_url": None}
    parse_id(ann.user_id)


async def test_a_name_is_given_once(here: Running, ann: Person) -> None:
    answer = await here.http.post("/users", json={"username": "ann", "password": "another password"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "username_taken"


async def test_of_many_who_want_a_name_at_once_one_gets_it(here: Running) -> None:
    wanted = {"username": "ann", "password": PASSWORD}
    answers = await asyncio.gather(*(here.http.post("/users", json=wanted) for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409, 409]


async def test_a_wrong_password_and_a_name_that_does_not_exist_get_the_same_answer(here: Running, ann: Person) -> None:
    wrong = await here.http.post("/login", json={"username": "ann", "password": "wrong horse"})
    unknown = await here.http.post("/login", json={"username": "nobody", "password": "wrong horse"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["code"] == "bad_credentials"


async def test_a_name_that_does_not_exist_costs_as_much_hashing(here: Running, ann: Person) -> None:
    passwords = here.app.state.services.passwords
    asked: list[str] = []
    verify = passwords._verify

    def watched(kept: str, given: str) -> bool:
        asked.append(kept)
        return bool(verify(kept, given))

    passwords._verify = watched
    for name in ("ann", "nobody"):
        await here.http.post("/login", json={"username": name, "password": "wrong horse"})
    parameters = [each.rsplit("$", 2)[0] for each in asked]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


async def test_a_hash_of_yesterdays_parameters_is_renewed_at_the_next_login(tmp_path: Path) -> None:
    async with in_process(settings_for(tmp_path)) as before:
        await before.sign_up("ann")
    passwords.PARAMETERS = profiles.RFC_9106_LOW_MEMORY
    async with in_process(settings_for(tmp_path)) as after:
        for _ in range(2):
            answer = await after.http.post("/login", json={"username": "ann", "password": PASSWORD})
            assert answer.status_code == 200
            async with after.app.state.services.store.read() as view:
                login = await view.login("ann")
            assert login.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_logging_in_gives_another_token_and_logging_out_ends_only_its_own(here: Running, ann: Person) -> None:
    answer = await here.http.post("/login", json={"username": "ann", "password": PASSWORD})
    again = Person(here.http, ann.user_id, "ann", answer.json()["token"])
    assert again.token != ann.token
    await ann.post("/logout", status=204)
    await ann.get("/users/@me", status=401)
    await again.get("/users/@me")


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "bearer \u00e9"])
async def test_without_a_valid_token_nothing_is_shown(here: Running, given: str | None) -> None:
    headers = {} if given is None else {b"Authorization": given.encode()}
    answer = await here.http.get("/servers", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_database_holds_neither_passwords_nor_tokens(here: Running, ann: Person, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "chorale.db") as database:
        dump = "\n".join(database.iterdump())
    assert ann.token not in dump
    assert PASSWORD not in dump
    assert "$argon2id$" in dump


async def test_a_token_expires(here: Running, ann: Person) -> None:
    services = here.app.state.services
    later = moment(services.now_us()) + timedelta(days=91)
    await services.store.write(lambda tx: tx.prune_expired(later))
    await ann.get("/users/@me", status=401)


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [
        ("a", PASSWORD, "username"),
        ("a" * 33, PASSWORD, "username"),
        ("Ann", PASSWORD, "username"),
        ("ann\n", PASSWORD, "username"),
        ("a b", PASSWORD, "username"),
        ("ann", "short", "password"),
        ("ann", "x" * 129, "password"),
    ],
)
async def test_a_name_or_password_that_will_not_do_is_named(
    here: Running, username: str, password: str, field: str
) -> None:
    answer = await here.http.post("/users", json={"username": username, "password": password})
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]


async def test_accounts_survive_a_restart(tmp_path: Path) -> None:
    async with in_process(settings_for(tmp_path)) as first:
        ann = await first.sign_up("ann")
    async with in_process(settings_for(tmp_path)) as second:
        ann.http = second.http
        assert (await ann.get("/users/@me"))["username"] == "ann"
