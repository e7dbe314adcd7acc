import asyncio
from pathlib import Path
from typing import Any

import pytest

from control_plane.settings import Settings
from control_plane.store.ports import StoreUnavailable
from proto.errors import ErrorCode
from tests.control_plane.support import Person, Running, in_process, running, settings_for

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"name": "\\ud800"}',
        b'{"x": ' + b"[" * 60_000,
        b'{"name": "x"} trailing',
        b"NaN",
    ],
)
async def test_what_is_not_json_is_malformed(here: Running, ann: Person, body: bytes) -> None:
    answer = await ann.http.post("/servers", content=body, headers=ann.headers | JSON)
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed_json"


@pytest.mark.parametrize(
    ("body", "field"),
    [("[]", "body"), ("null", "body"), ('"x"', "body"), ('{"name": []}', "name"), ('{"nom": "x"}', "name")],
)
async def test_json_of_the_wrong_shape_names_the_field(here: Running, ann: Person, body: str, field: str) -> None:
    answer = await ann.http.post("/servers", content=body, headers=ann.headers | JSON)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_a_body_of_another_type_is_refused(here: Running, ann: Person, media_type: str) -> None:
    answer = await ann.http.post(
        "/servers", content=b'{"name":"x"}', headers=ann.headers | {"Content-Type": media_type}
    )
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_media_type"


async def test_a_charset_behind_the_type_is_welcome(here: Running, ann: Person) -> None:
    headers = ann.headers | {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await ann.http.post("/servers", content=b'{"name":"x"}', headers=headers)
    assert answer.status_code == 201


async def test_a_body_that_says_it_is_too_large_is_refused(here: Running, ann: Person) -> None:
    answer = await ann.http.post("/servers", content=b" " * 65_537, headers=ann.headers | JSON)
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


async def test_a_body_that_turns_out_too_large_is_refused_while_it_is_read(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as live:
        ann = await live.sign_up("ann")
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        head = ["POST /servers HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Content-Type: application/json"]
        head += [f"Authorization: Bearer {ann.token}", "", ""]
        writer.write("\r\n".join(head).encode())
        for _ in range(5):  # and never the last one
            writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"body_too_large" in answer
        writer.close()


@pytest.mark.parametrize("path", ["/nothing", "/servers/", "/channels", "/users/@me/x", "/..%2f", "/%00"])
async def test_a_path_that_does_not_exist_is_a_problem_too(here: Running, ann: Person, path: str) -> None:
    answer = await ann.ask("GET", path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/servers", "GET, HEAD, POST"),
        ("GET", "/users", "POST"),
        ("PUT", "/channels/x/messages", "GET, HEAD, POST"),
        ("OPTIONS", "/login", "POST"),
        ("BREW", "/health", "GET, HEAD"),
    ],
)
async def test_another_method_is_refused_and_told_what_is_possible(
    here: Running, method: str, path: str, allow: str
) -> None:
    answer = await here.http.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    "bad",
    [
        "1",
        "x",
        "6f1c9f52-6d3e-4a2e-9f0e-3c8f6e1d2b7a",
        "0190a5c0-0000-7000-8000-000000000000",
        "00000000-0000-0000-0000-000000000000",
        "01a20cdfedb880798000000000000000",
        "{01a20cdf-edb8-8079-8000-000000000000}",
        "01a20cdf-edb8-8079-8000-000000000001",
    ],
)
async def test_ids_of_other_versions_are_refused(here: Running, ann: Person, bad: str) -> None:
    for kind, views in (("servers", ("", "/members", "/channels")), ("channels", ("", "/messages", "/participants"))):
        for view in views:
            problem = await ann.get(f"/{kind}/{bad}{view}", status=400)
            assert problem["code"] == "invalid_id"
            assert len(problem["errors"]) == 1


async def test_our_own_fault_is_a_clean_500_that_can_be_found_in_the_log(
    here: Running, ann: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    here.app.state.services.store.read = None
    answer = await ann.ask("GET", "/servers")
    assert answer.status_code == 500
    problem = answer.json()
    assert problem["code"] == "internal_error"
    assert answer.headers["X-Request-Id"] in problem["message"]
    assert "TypeError" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    logged = capsys.readouterr().err
    assert answer.headers["X-Request-Id"] in logged
    assert "TypeError" in logged
    assert ann.token not in logged


async def test_a_store_that_does_not_answer_is_a_503_to_try_again(here: Running, ann: Person) -> None:
    def refuse() -> Any:
        raise StoreUnavailable("disk on fire")

    here.app.state.services.store.read = refuse
    answer = await here.http.get("/health")
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert "fire" not in answer.text
    assert int(answer.headers["Retry-After"]) > 0


async def test_health_is_good_when_the_database_answers(here: Running) -> None:
    answer = await here.http.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


async def test_every_answer_keeps_the_browser_safe(here: Running, ann: Person) -> None:
    for answer in (
        await ann.ask("GET", "/servers"),
        await ann.ask("GET", "/nothing"),
        await ann.ask("PUT", "/servers"),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "connect-src 'self' ws: wss:" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "microphone=(self)" in answer.headers["Permissions-Policy"]
    assert (await ann.ask("GET", "/servers")).headers["Cache-Control"] == "no-store"


@pytest.fixture
def with_page(tmp_path: Path) -> Settings:
    web = tmp_path / "web"
    web.mkdir()
    (web / "index.html").write_text("<!doctype html><title>Chorale</title>")
    (web / "app.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("secret")
    return settings_for(tmp_path)


async def test_the_page_is_served_at_the_root_and_for_invites(with_page: Settings) -> None:
    async with in_process(with_page) as here:
        for path in ("/", "/invite/abcdefghij"):
            answer = await here.http.get(path)
            assert answer.status_code == 200
            assert "<title>Chorale</title>" in answer.text
            assert answer.headers["Cache-Control"] == "no-cache"
            assert "Content-Security-Policy" in answer.headers
        script = await here.http.get("/app.js")
        assert script.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//etc/passwd", "/nope.js"]
)
async def test_no_other_file_is_served(with_page: Settings, path: str) -> None:
    async with running(with_page) as live:
        answer = await live.http.get(path)
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


async def test_the_page_does_not_hide_the_api(with_page: Settings) -> None:
    async with in_process(with_page) as here:
        ann = await Person.sign_up(here.http, "ann")
        assert await ann.get("/servers") == []
        assert (await here.http.delete("/servers")).status_code == 405
        assert (await here.http.post("/app.js")).status_code == 405


def test_every_error_has_a_code_of_the_closed_set() -> None:
    from control_plane import errors

    codes = {vars(each)["code"] for each in vars(errors).values() if isinstance(each, type) and "code" in vars(each)}
    assert codes | {ErrorCode.NOT_FOUND, ErrorCode.INTERNAL_ERROR} == set(ErrorCode)
