from __future__ import annotations

import pytest

from vla_inference_ros.core.allow_list import AllowList


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_list_allows_everybody(text: str) -> None:
    allowed = AllowList.parse(text)
    assert all(map(allowed.allows, ("127.0.0.1", "10.0.0.1", "255.255.255.255")))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.1.20", True),
        ("192.168.1.21", False),
        ("192.168.1.2", False),
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("127.0.0.1", False),
    ],
)
def test_addresses_and_networks(address: str, expected: bool) -> None:
    assert AllowList.parse("192.168.1.20, 10.0.0.0/8").allows(address) is expected


@pytest.mark.parametrize(
    "entry",
    [
        "sensor-host",
        "192.168.1",
        "192.168.1.256",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "fd00::/129",
        "::g",
        "10.0.0.0%lo",
        "",
    ],
)
def test_an_entry_that_is_no_network_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is no address (or network )?such as") as caught:
        AllowList.parse(f"192.168.1.20, {entry}")
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("::1", True),
        ("fd00::1234", True),
        ("fe00::1", False),
        ("::ffff:192.168.1.20", True),
        ("::ffff:c0a8:114", True),  # the same
        ("::ffff:192.168.1.21", False),
        ("192.168.1.20", True),
        ("fe80::1%eth0", True),
        ("fe80::1%eth1", False),
        ("fe80::1", False),
        ("fe80::2%eth0", True),
        ("fe80::2%eth1", True),
    ],
)
def test_addresses_and_networks_of_ipv6(address: str, expected: bool) -> None:
    entries = "::1, fd00::/8, 192.168.1.20, fe80::1%eth0, fe80::2"
    assert AllowList.parse(entries).allows(address) is expected


def test_ipv4_in_the_way_of_ipv6_is_ipv4() -> None:
    allowed = AllowList.parse("::ffff:192.168.1.20, ::ffff:10.0.0.0/104")
    assert all(map(allowed.allows, ("192.168.1.20", "10.1.2.3", "::ffff:10.1.2.3")))
    assert not any(map(allowed.allows, ("192.168.1.21", "11.0.0.0", "::1")))


def test_an_interface_alone_is_a_list_too() -> None:
    allowed = AllowList.parse("[fe80::1%eth0]")
    assert allowed.allows("fe80::1%eth0")
    assert not any(map(allowed.allows, ("fe80::1%eth1", "fe80::1", "127.0.0.1")))
