"""What a process that is killed leaves behind, the next one finishes."""

import asyncio
import os
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path

import httpx

from control_plane import housekeeping
from control_plane.store.messages import EmbeddedMessages
from control_plane.store.ports import StoreUnavailable
from tests.control_plane.support import Person, Running, running, settings_for

# With a message store that takes what it is given and never answers: the process stands between append and store.
STUCK = """
import asyncio, sys
from pathlib import Path
import uvicorn
from control_plane.app import build
from control_plane.store.messages import EmbeddedMessages
from tests.control_plane.support import settings_for

class Stuck(EmbeddedMessages):
    async def put(self, new):
        if new:
            print("append is done", flush=True)
            await asyncio.Event().wait()

app = build(settings_for(Path(sys.argv[1])), messages=Stuck)
uvicorn.run(app, fd=int(sys.argv[2]), log_level="error", access_log=False)
"""


async def kill_between_append_and_store(ann: Person, channel: str, data_dir: Path, contents: list[str]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STUCK,
        str(data_dir),
        str(listener.fileno()),
        pass_fds=[listener.fileno()],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        sending = [
            asyncio.create_task(
                http.post(f"/channels/{channel}/messages", json={"content": each, "nonce": each}, headers=ann.headers)
            )
            for each in contents
        ]
        assert process.stdout is not None
        for _ in contents:
            assert await process.stdout.readline() == b"append is done\n"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        answers = await asyncio.gather(*sending, return_exceptions=True)
        assert all(isinstance(each, httpx.TransportError) for each in answers), "none was acknowledged"
    listener.close()


async def test_the_sweeper_stores_and_announces_what_a_killed_process_only_appended(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running(settings) as first:
        ann = await first.sign_up("ann")
        channel = await ann.channel(await ann.new_server())
        async with first.online(ann) as before:
            kept = await ann.say(channel, "before")
            await before.event("MESSAGE_CREATE")
    await kill_between_append_and_store(ann, channel, tmp_path, ["one", "two", "three"])
    async with running(settings) as second, second.gateway() as after:
        ann.http = second.http
        history = await ann.get(f"/channels/{channel}/messages")
        assert sorted(each["content"] for each in history) == ["before", "one", "three", "two"]
        await after.resume(ann, before.session_id, before.cursors)
        replayed = [await after.event("MESSAGE_CREATE") for _ in range(3)]
        assert await after.event("RESUMED") == {"voice_states": []}
        assert [each["message_id"] for each in replayed] == [each["message_id"] for each in reversed(history[:3])]
        assert kept["message_id"] == history[3]["message_id"]
        await retry(ann, channel, second, {each["content"]: each["message_id"] for each in history})
        assert len(await ann.get(f"/channels/{channel}/messages")) == 4


async def retry(ann: Person, channel: str, control: Running, ids: dict[str, str]) -> None:
    """The client never heard a word, so it sends again with the same nonce: the same message."""
    for content in ("one", "two", "three"):
        assert (await ann.say(channel, content, nonce=content))["message_id"] == ids[content]


async def test_a_message_that_could_not_be_stored_is_held_back_and_swept_later(tmp_path: Path) -> None:
    class Flaky(EmbeddedMessages):
        down = False

        async def put(self, new):  # type: ignore[no-untyped-def]
            if self.down and new:
                raise StoreUnavailable("away")
            await super().put(new)

    async with running(settings_for(tmp_path), messages=Flaky) as control:
        ann = await control.sign_up("ann")
        channel = await ann.channel(await ann.new_server())
        async with control.online(ann) as gateway:
            Flaky.down = True
            refused = await ann.ask("POST", f"/channels/{channel}/messages", json={"content": "held", "nonce": "1"})
            assert refused.status_code == 503
            assert await ann.get(f"/channels/{channel}/messages") == []
            Flaky.down = False
            later = await ann.say(channel, "after")
            async with control.gateway() as fresh:
                ready = await fresh.identify(ann)
                assert ready["cursors"] == gateway.cursors, "what is not stored is not yet passed by"
            swept = await housekeeping.sweep(control.app.state.services, older_than=timedelta(0))
            assert swept == 1
            assert (await gateway.event("MESSAGE_CREATE"))["content"] == "held"
            assert await gateway.event("MESSAGE_CREATE") == later
            again = await ann.say(channel, "held", nonce="1")
            history = await ann.get(f"/channels/{channel}/messages")
            assert [each["message_id"] for each in history] == [later["message_id"], again["message_id"]]
