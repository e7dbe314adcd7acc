from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.ratelimit import Limiter, Rate
from tests.control_plane.support import PASSWORD, in_process, settings_for


def test_a_bucket_gives_its_tokens_at_once_and_then_one_at_a_time() -> None:
    limiter = Limiter("x", Rate(3, 30))
    assert [limiter.spend("a", 0.0).remaining for _ in range(3)] == [2, 1, 0]
    refused = limiter.spend("a", 0.0)
    assert not refused.allowed
    assert refused.retry_after == pytest.approx(10)
    assert refused.reset_after == pytest.approx(30)
    assert limiter.spend("a", 10.0).allowed
    assert not limiter.spend("a", 10.0).allowed


def test_keys_have_buckets_of_their_own() -> None:
    limiter = Limiter("x", Rate(1, 60))
    assert limiter.spend("a", 0.0).allowed
    assert limiter.spend("b", 0.0).allowed
    assert not limiter.spend("a", 0.0).allowed


def test_the_number_of_buckets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limiter, "MAX_KEYS", 10)
    limiter = Limiter("x", Rate(1, 60))
    for each in range(1000):
        limiter.spend(each, 0.0)
    assert len(limiter._full_at) == 10
    assert not limiter.spend(999, 0.0).allowed


@given(
    count=st.integers(1, 20),
    seconds=st.floats(0.1, 100),
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_never_more_than_a_bucket_and_what_flowed_in(count: int, seconds: float, steps: list[float]) -> None:
    limiter = Limiter("x", Rate(count, seconds))
    now, allowed = 0.0, 0
    for step in steps:
        now += step
        verdict = limiter.spend("a", now)
        allowed += verdict.allowed
        assert 0 <= verdict.remaining < count
        assert allowed <= count + now * count / seconds + 1e-6
        if not verdict.allowed:
            assert not limiter.spend("a", now + verdict.retry_after * 0.99).allowed


@given(count=st.integers(1, 20), seconds=st.floats(0.1, 100), burst=st.integers(1, 40))
def test_after_waiting_as_long_as_told_there_is_a_token(count: int, seconds: float, burst: int) -> None:
    limiter = Limiter("x", Rate(count, seconds))
    verdicts = [limiter.spend("a", 5.0) for _ in range(burst)]
    assert limiter.spend("a", 5.0 + verdicts[-1].retry_after).allowed or verdicts[-1].allowed


@pytest.mark.parametrize("text", ["", "10", "10/", "/60", "0/60", "-1/60", "10/0", "10/-1", "10/nan", "10/inf", "a/b"])
def test_what_is_not_a_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate such as 10/60"):
        Rate.parse(text)


async def test_too_many_messages_are_told_when_to_try_again(tmp_path: Path) -> None:
    async with in_process(settings_for(tmp_path, limit_messages=Rate(2, 60))) as here:
        ann, bob = await here.sign_up("ann"), await here.sign_up("bob")
        server = await ann.new_server()
        await ann.bring(bob, server)
        path = f"/channels/{await ann.channel(server)}/messages"
        first = await ann.ask("POST", path, json={"content": "x"})
        assert first.headers["X-RateLimit-Limit"] == "2"
        assert first.headers["X-RateLimit-Remaining"] == "1"
        assert first.headers["X-RateLimit-Bucket"] == "messages"
        await ann.ask("POST", path, json={"content": "x"})
        refused = await ann.ask("POST", path, json={"content": "x"})
        assert refused.status_code == 429
        body = refused.json()
        assert body["code"] == "rate_limited"
        assert body["global"] is False
        assert 0 < body["retry_after"] <= 30
        assert body["retry_after"] <= int(refused.headers["Retry-After"]) <= 30
        assert 0 < float(refused.headers["X-RateLimit-Reset-After"]) <= 60
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        assert (await bob.ask("POST", path, json={"content": "x"})).status_code == 201
        assert len(await ann.get(path)) == 3


async def test_logging_in_is_limited_by_address(tmp_path: Path) -> None:
    async with in_process(settings_for(tmp_path, limit_accounts=Rate(2, 60))) as here:
        wrong = {"username": "ann", "password": "wrong horse"}
        answers = [await here.http.post("/login", json=wrong) for _ in range(3)]
        assert [each.status_code for each in answers] == [401, 401, 429]
        sign_up = await here.http.post("/users", json={"username": "ann", "password": PASSWORD})
        assert sign_up.status_code == 429


async def test_invites_are_limited(tmp_path: Path) -> None:
    async with in_process(settings_for(tmp_path, limit_invites=Rate(2, 60))) as here:
        ann = await here.sign_up("ann")
        path = f"/servers/{(await ann.new_server())['server_id']}/invite"
        assert [(await ann.ask("POST", path)).status_code for _ in range(3)] == [201, 201, 429]
        assert [(await here.http.get("/invites/x")).status_code for _ in range(3)] == [404, 404, 429]
