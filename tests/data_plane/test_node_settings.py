"""What an operator may write, and the sentence when it is wrong."""

import os
from pathlib import Path

import pytest

from data_plane.addresses import default_addresses, detect
from data_plane.settings import NodeSettings, NodeSettingsError, load_node_settings


def test_without_settings_a_node_is_reached_from_this_machine_and_from_others() -> None:
    settings = load_node_settings({})
    assert settings.addresses == default_addresses(detect())
    assert settings.addresses[0] == "127.0.0.1"
    assert (settings.port, settings.announce, settings.spread_above, settings.tcp) == (0, (), 200, True)


def test_without_a_setting_there_is_a_worker_for_each_processor_up_to_eight() -> None:
    assert load_node_settings({}).workers == min(len(os.sched_getaffinity(0)), 8)


def test_workers_their_rooms_and_tcp_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "chorale.toml"
    file.write_text("media_workers = 3\nmedia_spread_above = 50\nmedia_tcp = false\n")
    settings = load_node_settings({"CHORALE_CONFIG": str(file)})
    assert (settings.workers, settings.spread_above, settings.tcp) == (3, 50, False)
    settings = load_node_settings({"CHORALE_CONFIG": str(file), "CHORALE_MEDIA_TCP": "On"})
    assert (settings.workers, settings.tcp) == (3, True)


def test_addresses_are_a_list_with_commas_each_once() -> None:
    settings = load_node_settings(
        {"CHORALE_MEDIA_ADDRESSES": " 192.0.2.1, 2001:DB8::1,,192.0.2.1", "CHORALE_MEDIA_PORT": "3478"}
    )
    assert (settings.addresses, settings.port) == (("192.0.2.1", "2001:db8::1"), 3478)


def test_what_is_announced_may_differ_from_what_is_bound() -> None:
    settings = load_node_settings({"CHORALE_MEDIA_ADDRESSES": "10.0.0.5", "CHORALE_MEDIA_ANNOUNCE": "203.0.113.7"})
    assert (settings.addresses, settings.announce) == (("10.0.0.5",), ("203.0.113.7",))


def test_a_file_says_the_same_and_variables_win(tmp_path: Path) -> None:
    file = tmp_path / "chorale.toml"
    file.write_text(
        'host = "0.0.0.0"\nmedia_addresses = ["192.0.2.1"]\nmedia_announce = "203.0.113.7"\nmedia_port = 5000\n'
    )
    environ = {"CHORALE_CONFIG": str(file), "CHORALE_MEDIA_WORKERS": "1"}
    assert load_node_settings(environ) == NodeSettings(("192.0.2.1",), port=5000, announce=("203.0.113.7",))
    assert load_node_settings({**environ, "CHORALE_MEDIA_PORT": "6000"}).port == 6000


def test_codecs_are_preferred_in_the_order_of_the_setting(tmp_path: Path) -> None:
    assert load_node_settings({}).video_codecs == ("vp8", "h264", "vp9", "av1")
    assert load_node_settings({"CHORALE_VIDEO_CODECS": "AV1, vp9,av1"}).video_codecs == ("av1", "vp9")
    file = tmp_path / "chorale.toml"
    file.write_text('video_codecs = ["h264"]')
    assert load_node_settings({"CHORALE_CONFIG": str(file)}).video_codecs == ("h264",)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CHORALE_MEDIA_ADDRESSES", "localhost", "not an IP address"),
        ("CHORALE_MEDIA_ADDRESSES", "127.0.0.1;127.0.0.2", "not an IP address"),
        ("CHORALE_MEDIA_ADDRESSES", "0.0.0.0", "no client can send to"),  # noqa: S104
        ("CHORALE_MEDIA_ADDRESSES", "::", "no client can send to"),
        ("CHORALE_MEDIA_ADDRESSES", "fe80::1%eth0", "no client can send to"),
        ("CHORALE_MEDIA_ADDRESSES", ",".join(f"192.0.2.{n}" for n in range(9)), "names 9 addresses"),
        ("CHORALE_MEDIA_ANNOUNCE", "example.com", "not an IP address"),
        ("CHORALE_MEDIA_PORT", "65536", "not a port"),
        ("CHORALE_MEDIA_PORT", "-1", "not a port"),
        ("CHORALE_MEDIA_PORT", "any", "not a port"),
        ("CHORALE_MEDIA_PORT", "65535", "no ports for"),
        ("CHORALE_VIDEO_CODECS", "vp8,h265", "'h265', which is none of vp8, h264, vp9, av1"),
        ("CHORALE_MEDIA_WORKERS", "0", "number of workers"),
        ("CHORALE_MEDIA_WORKERS", "many", "number of workers"),
        ("CHORALE_MEDIA_SPREAD_ABOVE", "-5", "number of people"),
        ("CHORALE_MEDIA_TCP", "perhaps", "neither on nor off"),
        ("CHORALE_CONFIG", "/nowhere/at/all", "cannot be used"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_name(name: str, value: str, reason: str) -> None:
    with pytest.raises(NodeSettingsError, match=f"{name} .*{reason}.*[.]$"):
        load_node_settings({"CHORALE_MEDIA_WORKERS": "2", name: value})
