from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from vla_inference_ros.graph import share
from vla_inference_ros.nodes.dds_profile import (
    DATA_PORTS,
    LARGE_SEGMENT,
    LARGEST_MESSAGE,
    NETWORK_MESSAGE,
    SMALL_SEGMENT,
    Changes,
    changed,
    data_offset,
    discovery,
    message_bytes,
    segment,
    unconfined,
)
from vla_inference_ros.nodes.middleware import PROFILES

FILES = [share() / "config" / name for _, name in PROFILES.values()]
RANGE, PEERS = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_STATIC_PEERS"
HERE = "127.0.0.1"


def texts(profile: str, path: str) -> list[str | None]:
    return [each.text for each in ElementTree.fromstring(profile).iterfind(path)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_file_has_both_transports_and_no_others(file: Path) -> None:
    profile = file.read_text(encoding="utf-8")
    assert texts(profile, ".//{*}transport_descriptor/{*}type") == ["SHM", "UDPv4"]
    named = texts(profile, ".//{*}transport_descriptor/{*}transport_id")
    assert texts(profile, ".//{*}userTransports/{*}transport_id") == named
    assert texts(profile, ".//{*}useBuiltinTransports") == ["false"]
    assert texts(profile, ".//{*}maxMessageSize") == [str(NETWORK_MESSAGE)]
    assert texts(profile, ".//{*}segment_size") == [str(SMALL_SEGMENT)]


def test_both_files_say_the_same_but_for_what_only_fast_dds_3_knows() -> None:
    first, second = (
        [
            (each.tag.lower().replace("_", ""), (each.text or "").strip())
            for each in ElementTree.parse(file).iter()
        ]
        for file in FILES
    )
    properties = texts(FILES[1].read_text(encoding="utf-8"), ".//{*}propertiesPolicy//{*}name")
    assert properties == ["fastdds.type_propagation"]
    begin = next(n for n, (tag, _) in enumerate(second) if tag.endswith("propertiespolicy"))
    del second[begin : begin + 5]
    assert first == second


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_changes_are_in_the_profile_and_nothing_else_is(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    after = changed(before, Changes(LARGE_SEGMENT, 1400, ("10.0.0.5", HERE), 50000))
    assert texts(after, ".//{*}participant/{*}rtps/{*}port/{*}offsetd3") == ["50000"]
    assert texts(after, ".//{*}segment_size") == [str(LARGE_SEGMENT)]
    assert texts(after, ".//{*}maxMessageSize") == ["1400"]
    assert texts(after, ".//{*}initialPeersList//{*}address") == ["10.0.0.5", HERE]
    assert len(texts(after, ".//{*}metatrafficUnicastLocatorList/{*}locator/{*}udpv4")) == 1
    for path in (".//{*}type", ".//{*}sec", ".//{*}nanosec", ".//{*}port_queue_capacity"):
        assert texts(after, path) == texts(before, path)


def test_without_peers_discovery_and_size_are_the_files() -> None:
    after = changed(FILES[0].read_text(encoding="utf-8"), Changes(SMALL_SEGMENT))
    assert not texts(after, ".//{*}initialPeersList")
    assert not texts(after, ".//{*}metatrafficUnicastLocatorList")
    assert not texts(after, ".//{*}port")
    assert texts(after, ".//{*}maxMessageSize") == [str(NETWORK_MESSAGE)]


@pytest.mark.parametrize(
    ("environment", "peers"),
    [
        ({}, None),
        ({RANGE: ""}, None),
        ({RANGE: "SUBNET"}, None),
        ({RANGE: "SUBNET", PEERS: "10.0.0.5"}, None),  # ROS adds them by itself
        ({RANGE: "SYSTEM_DEFAULT"}, None),
        ({RANGE: "OFF"}, None),
        ({RANGE: "LOCALHOST"}, (HERE,)),
        ({RANGE: "localhost"}, (HERE,)),
        ({RANGE: "LOCALHOST", PEERS: "10.0.0.5;10.0.0.6"}, ("10.0.0.5", "10.0.0.6", HERE)),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_who_is_looked_for_is_as_ros_has_it(
    environment: dict[str, str], peers: tuple[str, ...] | None, version: int
) -> None:
    assert discovery(environment, version) == peers


def test_the_older_variable_counts_where_ros_still_heeds_it() -> None:
    environment = {"ROS_LOCALHOST_ONLY": "1", RANGE: "SUBNET", PEERS: "10.0.0.5"}
    assert discovery(environment, 2) == (HERE,)
    assert discovery(environment, 3) is None
    assert unconfined(environment) == {RANGE: "SYSTEM_DEFAULT", "ROS_LOCALHOST_ONLY": "0"}
    assert unconfined({}) == {RANGE: "SYSTEM_DEFAULT"}


@pytest.mark.parametrize("domain", [None, "", "0", "1", "100", "213"])
def test_a_process_listens_for_data_where_hardly_any_did_before(domain: str | None) -> None:
    environment = {} if domain is None else {"ROS_DOMAIN_ID": domain}
    offsets = [data_offset(environment) for _ in range(20)]
    first = 7400 + 250 * int(domain or "0")
    assert all(offset is not None and first + offset in DATA_PORTS for offset in offsets)
    assert len(set(offsets)) > 10
    assert DATA_PORTS[-1] + 2 * 119 < 65536  # also that of the last node that a domain may have


@pytest.mark.parametrize("domain", ["215", "232", "-1", "many"])
def test_where_there_are_no_such_ports_it_listens_as_dds_has_it(domain: str) -> None:
    assert data_offset({"ROS_DOMAIN_ID": domain}) is None


@pytest.mark.parametrize("text", ["", "many", "999", "65501", "1e3"])
def test_a_size_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        message_bytes(text)


def test_a_size_that_can_be() -> None:
    assert message_bytes("1400") == 1400
    assert message_bytes(str(LARGEST_MESSAGE)) == LARGEST_MESSAGE


@pytest.mark.parametrize(
    ("total", "free", "wanted", "given", "said"),
    [
        (8e9, 7e9, LARGE_SEGMENT, LARGE_SEGMENT, ""),
        (8e9, 7e9, SMALL_SEGMENT, SMALL_SEGMENT, ""),
        (64e6, 64e6, LARGE_SEGMENT, 512 << 10, "has 64 MB, 64 of them free, where 268 are needed"),
        (64e6, 64e6, SMALL_SEGMENT, 512 << 10, ""),  # said once, by those who send much
        (8e9, 40e6, LARGE_SEGMENT, 512 << 10, "has 8000 MB, 40 of them free"),
    ],
)
def test_memory_is_taken_where_there_is_some(
    monkeypatch: pytest.MonkeyPatch, total: float, free: float, wanted: int, given: int, said: str
) -> None:
    found = SimpleNamespace(f_blocks=int(total), f_bavail=int(free), f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    size, complaint = segment(wanted)
    assert size == given
    assert said in complaint
    assert bool(said) == ("--shm-size=1g" in complaint)


def test_without_shared_memory_it_says_so(tmp_path: Path) -> None:
    size, complaint = segment(LARGE_SEGMENT, tmp_path / "shm")
    assert size == 512 << 10
    assert "does not exist" in complaint
