"""Accounts: a name, a password, and tokens that stand for having given them."""

import hmac
from base64 import urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256

import structlog

from control_plane.bus.ports import TokenRevoked
from control_plane.context import Context, Services, Visitor
from control_plane.errors import BadCredentials, InvalidBody, UsernameTaken
from control_plane.store.ports import NameTaken, Transaction
from proto.ids import UserId
from proto.rest import Credentials, Session, User

log = structlog.get_logger()

TOKEN_BYTES = 32
TOKEN_LIFE = timedelta(days=90)


async def sign_up(visitor: Visitor, wanted: Credentials) -> Session:
    visitor.spend(visitor.services.limits.accounts, visitor.address)
    if wanted.username.strip() != wanted.username:
        raise InvalidBody(errors={"username": "has space around it"})
    app = visitor.services
    password_hash = await app.passwords.hash(wanted.password)
    user, token, now = User(app.mint(), wanted.username), _token(app), app.now

    async def write(tx: Transaction) -> None:
        await tx.insert_user(user, password_hash=password_hash, now=now)
        await tx.insert_token(digest(token), UserId(user.user_id), now=now, expires_at=now + TOKEN_LIFE)

    try:
        await app.store.write(write)
    except NameTaken:
        raise UsernameTaken from None
    log.info("user signed up", user_id=str(user.user_id))
    return Session(user, token)


async def log_in(visitor: Visitor, given: Credentials) -> Session:
    """Takes as long and answers the same whether the name or the password is wrong."""
    visitor.spend(visitor.services.limits.accounts, visitor.address)
    app = visitor.services
    async with app.store.read() as view:
        login = await view.login(given.username)
    password_hash = login.password_hash if login is not None else None
    if not await app.passwords.verify(password_hash, given.password) or login is None:
        raise BadCredentials
    outdated = app.passwords.is_outdated(login.password_hash)
    rehashed = await app.passwords.hash(given.password) if outdated else None
    user_id, token, now = UserId(login.user.user_id), _token(app), app.now

    async def write(tx: Transaction) -> None:
        await tx.insert_token(digest(token), user_id, now=now, expires_at=now + TOKEN_LIFE)
        if rehashed is not None:
            await tx.set_password_hash(user_id, rehashed)

    await app.store.write(write)
    log.info("user logged in", user_id=str(user_id))
    return Session(login.user, token)


async def log_out(ctx: Context) -> None:
    await ctx.services.store.write(lambda tx: tx.delete_token(ctx.token_digest))
    ctx.services.bus.publish(TokenRevoked(ctx.token_digest))
    log.info("user logged out", user_id=str(ctx.user_id))


def digest(token: str) -> bytes:
    """What is stored of a token: nobody can sign in with a copy of the database."""
    return sha256(token.encode()).digest()


async def user_of(app: Services, token: str) -> User | None:
    """Whose token this is; `None` if it is nobody's or has expired."""
    wanted = digest(token)
    async with app.store.read() as view:
        found = await view.token(wanted, app.now)
    if found is None or not hmac.compare_digest(found[0], wanted):
        return None
    return found[1]


def _token(app: Services) -> str:
    return urlsafe_b64encode(app.randomness(TOKEN_BYTES)).rstrip(b"=").decode()
