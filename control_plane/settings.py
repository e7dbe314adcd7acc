"""Settings: `CHORALE_*` variables, or one TOML file named by `CHORALE_CONFIG`. A variable wins over the file."""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from control_plane.ratelimit import Rate
from proto.ice import MAX_URLS, IceConfig, is_stun_url, is_turn_url

PREFIX = "CHORALE_"

# Named by the design and not there yet. Set, they would silently do nothing.
_NOT_YET = {"messages_url": "messages", "redis_url": "the bus", "objects_url": "uploads"}


# Settings of which `Settings.ice` is made.
_ICE = ("stun_urls", "turn_urls", "turn_secret", "turn_secret_file", "turn_lifetime")


class SettingsError(Exception):
    """One clear sentence for the operator."""


class Settings(Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080  # 0: any free one
    data_dir: Path = Path("var")  # the database and the key of grants
    database_url: str = ""  # empty: SQLite in the data directory
    web_dir: Path = Path(__file__).parent / "web"

    ice: IceConfig = IceConfig()  # STUN and TURN servers that clients are told of

    # Sign-ups and log-ins of one address: a person needs two, guessing needs thousands.
    limit_accounts: Rate = Rate(10, 60)
    limit_messages: Rate = Rate(10, 10)  # of one user: faster than anyone types, slower than a flood
    limit_invites: Rate = Rate(20, 60)  # made, read or accepted by one user or address: codes cannot be tried out
    limit_creations: Rate = Rate(20, 60)  # servers and channels made by one user
    limit_joins: Rate = Rate(30, 60)  # of voice channels by one user: a bad network joins again and again

    @property
    def database_path(self) -> Path:
        if not self.database_url:
            return self.data_dir / "chorale.db"
        return Path(self.database_url.removeprefix("sqlite:///"))


def load_settings(environ: Mapping[str, str], *, also: Collection[str] = ()) -> Settings:
    """Reads the environment and the file it names. `also`: keys of the file that belong to somebody else. Raises
    `SettingsError`."""
    given = _from_file(environ[PREFIX + "CONFIG"], also) if PREFIX + "CONFIG" in environ else {}
    names = _names()
    given |= {name: environ[PREFIX + name.upper()] for name in names if PREFIX + name.upper() in environ}
    for name, what in _NOT_YET.items():
        if given.pop(name, ""):
            sentence = f"{PREFIX}{name.upper()} is set, but this version keeps {what} in its own process: leave it out."
            raise SettingsError(sentence)
    for name in given:
        if name.startswith("limit_"):
            try:
                given[name] = Rate.parse(str(given[name]))
            except ValueError as wrong:
                raise SettingsError(f"{PREFIX}{name.upper()} is wrong: {wrong}.") from None
    given["ice"] = _ice({name: given.pop(name, "") for name in _ICE})
    try:
        settings = msgspec.convert(given, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as wrong:
        what, _, path = str(wrong).rpartition(" - at `$.")
        name = path.rstrip("`").partition(".")[0]
        raise SettingsError(f"{PREFIX}{name.upper()} is {given.get(name)!r}, which does not work: {what}.") from None
    if settings.database_url and not settings.database_url.startswith("sqlite:///"):
        scheme = settings.database_url.partition(":")[0]
        raise SettingsError(
            f"{PREFIX}DATABASE_URL begins with {scheme!r}, but this version stores in SQLite: write sqlite:///path/to/file.db."
        )
    return settings


def _from_file(path: str, also: Collection[str]) -> dict[str, Any]:
    try:
        given = tomllib.loads(Path(path).read_text())
    except OSError as wrong:
        raise SettingsError(f"{PREFIX}CONFIG names {path!r}, which cannot be read: {wrong.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise SettingsError(f"{PREFIX}CONFIG names {path!r}, which is not TOML: {wrong}.") from None
    mine = _names()
    for name in given:
        if name not in mine and name not in also:
            raise SettingsError(f"{path} sets {name!r}, which is not a setting.")
    return {name: value for name, value in given.items() if name in mine}


def _names() -> set[str]:
    return (set(Settings.__struct_fields__) - {"ice"}) | set(_NOT_YET) | set(_ICE)


def _ice(given: Mapping[str, Any]) -> IceConfig:
    """No sentence here repeats a secret. Raises `SettingsError`."""
    stun = _urls("stun_urls", given["stun_urls"], is_stun_url, "stun:host or stun:host:port")
    turn = _urls("turn_urls", given["turn_urls"], is_turn_url, "turn:host:port?transport=udp or turns:host:port")
    secret = str(given["turn_secret"]).strip()
    if path := str(given["turn_secret_file"]):
        if secret:
            raise SettingsError(
                f"{PREFIX}TURN_SECRET and {PREFIX}TURN_SECRET_FILE are both set: leave one of them out."
            )
        try:
            secret = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{PREFIX}TURN_SECRET_FILE names {path!r}, which cannot be read.") from None
        if not secret:
            raise SettingsError(f"{PREFIX}TURN_SECRET_FILE names {path!r}, which is empty.")
    if turn and not secret:
        raise SettingsError(f"{PREFIX}TURN_URLS is set without {PREFIX}TURN_SECRET, the servers' static-auth-secret.")
    if secret and not turn:
        raise SettingsError(f"{PREFIX}TURN_SECRET is set without {PREFIX}TURN_URLS: name the servers that know it.")
    lifetime = str(given["turn_lifetime"] or 24 * 3600)
    if not re.fullmatch("[0-9]{2,7}", lifetime) or not 60 <= int(lifetime) <= 30 * 86400:
        raise SettingsError(f"{PREFIX}TURN_LIFETIME is {lifetime!r}, which is not seconds, from a minute to a month.")
    return IceConfig(stun, turn, secret.encode(), timedelta(seconds=int(lifetime)))


def _urls(name: str, given: Any, good: Callable[[str], bool], form: str) -> tuple[str, ...]:
    """A list of a file, or a line with commas of either."""
    listed = given if isinstance(given, list) else str(given).split(",")
    urls = tuple(dict.fromkeys(str(each).strip() for each in listed if str(each).strip()))
    for url in urls:
        if not good(url):
            raise SettingsError(f"{PREFIX}{name.upper()} names {url!r}: write {form}, with commas between.")
    if len(urls) > MAX_URLS:
        raise SettingsError(f"{PREFIX}{name.upper()} names {len(urls)} URLs; at most {MAX_URLS} are told to clients.")
    return urls


def _decode(kind: type, value: Any) -> Any:
    """What msgspec cannot make of a string by itself."""
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"not a {kind.__name__}")
