"""Invites: a code that lets whoever has it into a server."""

from datetime import timedelta

from control_plane import access
from control_plane.actions.servers import check_room_for_one_more, enter
from control_plane.context import Context, Services, Visitor
from control_plane.errors import UnknownInvite
from control_plane.events import LogEvent
from control_plane.store.ports import Transaction
from proto.ids import ServerId
from proto.rest import Invite, Member, NewInvite, Server

# Without what is easily misread. 58 bits: with a million invites alive and the rate limit, guessing one takes
# centuries.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CODE_LENGTH = 10


async def create_invite(ctx: Context, server_id: ServerId, wanted: NewInvite) -> Invite:
    app, now = ctx.services, ctx.services.now
    async with app.store.read() as view:
        server = await access.server(view, ctx.user_id, server_id)
    ctx.spend(app.limits.invites, ctx.user_id)
    expires_at = now + timedelta(seconds=wanted.max_age)
    invite = Invite(_code(app), server_id, server.name, server.member_count, expires_at)
    await app.store.write(lambda tx: tx.insert_invite(invite, creator=ctx.user_id, max_uses=wanted.max_uses, now=now))
    return invite


async def get_invite(visitor: Visitor, code: str) -> Invite:
    """Anyone may look at an invite they have: it says where it leads before they sign up."""
    visitor.spend(visitor.services.limits.invites, visitor.address)
    async with visitor.services.store.read() as view:
        invite = await view.invite(code)
    if invite is None or invite.expires_at <= visitor.services.now:
        raise UnknownInvite
    return invite


async def accept_invite(ctx: Context, code: str) -> Server:
    """Idempotent: for a member it changes nothing, even when the invite is used up."""
    app, now = ctx.services, ctx.services.now
    ctx.spend(app.limits.invites, ctx.user_id)

    async def write(tx: Transaction) -> tuple[Server, list[LogEvent]]:
        invite = await tx.invite(code)
        if invite is None:
            raise UnknownInvite
        server_id = ServerId(invite.server_id)
        events: list[LogEvent] = []
        if await tx.member(server_id, ctx.user_id) is None:
            await check_room_for_one_more(tx, ctx.user_id)
            if not await tx.use_invite(code, now):
                raise UnknownInvite
            events = await enter(tx, server_id, Member(ctx.user, now))
        return await access.server(tx, ctx.user_id, server_id), events

    server, events = await app.store.write(write)
    for event in events:
        app.bus.publish(event)
    return server


def _code(app: Services) -> str:
    """Every character equally likely: bytes beyond the last whole alphabet are thrown away."""
    code = ""
    fair = 256 - 256 % len(ALPHABET)
    while len(code) < CODE_LENGTH:
        code += "".join(ALPHABET[byte % len(ALPHABET)] for byte in app.randomness(CODE_LENGTH) if byte < fair)
    return code[:CODE_LENGTH]
