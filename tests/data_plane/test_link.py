"""The way between the planes, in one process."""

from uuid import uuid4

from data_plane.link import local_link
from proto.media import EndSession, MediaEvent, SessionChanged, SessionEnded


async def test_events_and_commands_arrive_in_order_and_the_end_of_the_node_ends_its_events() -> None:
    control, node = local_link("node-1", "/media/signalling")
    assert (control.node_id, control.signalling, list(control.ice_servers)) == ("node-1", "/media/signalling", [])
    session = uuid4()
    events: list[MediaEvent] = [
        SessionChanged(session, muted=True),
        SessionChanged(session),
        SessionEnded(session, "left"),
    ]
    for event in events:
        await node.send(event)
    await node.close(failed=False)
    assert [event async for event in control.events()] == events
    assert control.stopped

    commands = [EndSession(uuid4(), "replaced"), EndSession(uuid4(), "removed")]
    for command in commands:
        await control.send(command)
    waiting = node.commands()
    assert [await anext(waiting) for _ in commands] == commands


async def test_a_node_that_failed_did_not_stop() -> None:
    control, node = local_link("node-1", "/media/signalling")
    await node.close(failed=True)
    assert [event async for event in control.events()] == []
    assert not control.stopped
