import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from control_plane.ratelimit import Rate
from control_plane.settings import Settings, SettingsError, load_settings
from proto.ice import IceConfig


def test_without_any_setting_everything_is_embedded() -> None:
    settings = load_settings({"PATH": "/bin"})
    assert settings == Settings()
    assert settings.database_path == Path("var/chorale.db")


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "chorale.toml"
    file.write_text('port = 9000\ndata_dir = "data"\nlimit_messages = "5/5"\n')
    settings = load_settings({"CHORALE_CONFIG": str(file), "CHORALE_PORT": "9001"})
    assert settings.port == 9001
    assert settings.data_dir == Path("data")
    assert settings.limit_messages == Rate(5, 5)


def test_keys_of_the_other_plane_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "chorale.toml"
    file.write_text("udp_port = 1\n")
    assert load_settings({"CHORALE_CONFIG": str(file)}, also={"udp_port"}) == Settings()


def test_turn_servers_and_their_secret_may_stand_in_files(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret", tmp_path / "chorale.toml"
    secret.write_text("north\n")
    file.write_text(f'turn_urls = ["turn:a", "turns:a"]\nturn_secret_file = "{secret}"\nturn_lifetime = 3600\n')
    ice = load_settings({"CHORALE_CONFIG": str(file), "CHORALE_STUN_URLS": "stun:b, stun:c,stun:b"}).ice
    assert ice == IceConfig(("stun:b", "stun:c"), ("turn:a", "turns:a"), b"north", timedelta(hours=1))
    assert load_settings({}).ice == IceConfig()


TURN = {"CHORALE_TURN_URLS": "turn:a", "CHORALE_TURN_SECRET": "north"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"TURN_URLS": "a.example"}, "CHORALE_TURN_URLS names 'a.example'"),
        ({"STUN_URLS": "turn:a"}, "CHORALE_STUN_URLS names 'turn:a'"),
        ({"TURN_URLS": ",".join(f"turn:a{n}" for n in range(9))}, "names 9 URLs"),
        ({"TURN_SECRET": ""}, "CHORALE_TURN_URLS is set without CHORALE_TURN_SECRET"),
        ({"TURN_URLS": ""}, "CHORALE_TURN_SECRET is set without CHORALE_TURN_URLS"),
        ({"TURN_SECRET_FILE": "/nowhere"}, "both set"),
        ({"TURN_SECRET": "", "TURN_SECRET_FILE": "/nowhere"}, "cannot be read"),
        ({"TURN_SECRET": "", "TURN_SECRET_FILE": "/dev/null"}, "is empty"),
        ({"TURN_LIFETIME": "1"}, "CHORALE_TURN_LIFETIME is '1'"),
        ({"TURN_LIFETIME": "a day"}, "CHORALE_TURN_LIFETIME is 'a day'"),
    ],
)
def test_wrong_turn_settings_are_one_clear_sentence_without_the_secret(changes: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(TURN | {f"CHORALE_{name}": value for name, value in changes.items()})
    sentence = str(raised.value)
    assert says in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "north" not in sentence


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "http", "CHORALE_PORT is 'http'"),
        ("PORT", "70000", "CHORALE_PORT is '70000'"),
        ("DATA_DIR", "", "CHORALE_DATA_DIR"),
        ("LIMIT_MESSAGES", "fast", "CHORALE_LIMIT_MESSAGES"),
        ("DATABASE_URL", "postgresql://db/chorale", "write sqlite:///"),
        ("REDIS_URL", "redis://localhost", "CHORALE_REDIS_URL is set"),
        ("CONFIG", "/nowhere/chorale.toml", "cannot be read"),
    ],
)
def test_a_wrong_value_is_one_clear_sentence(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({f"CHORALE_{name}": value})
    sentence = str(raised.value)
    assert says in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize("text", ["port = ", "prot = 8080", "port = [1]"])
def test_a_wrong_file_is_one_clear_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chorale.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"\.$"):
        load_settings({"CHORALE_CONFIG": str(file)})


def test_a_secret_in_a_url_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({"CHORALE_DATABASE_URL": "postgresql://ann:secret@db/chorale"})
    assert "secret" not in str(raised.value)


def test_a_wrong_value_stops_the_start() -> None:
    environment = os.environ | {"CHORALE_PORT": "http", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "control_plane"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("CHORALE_PORT is 'http'")
    assert done.stderr.count("\n") == 1
