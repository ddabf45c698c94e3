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
    "entry", ["sensor-host", "192.168.1", "192.168.1.256", "10.0.0.1/8", "10.0.0.0/33", "::1", ""]
)
def test_an_entry_that_is_no_network_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is no IPv4 address or network such as") as caught:
        AllowList.parse(f"192.168.1.20, {entry}")
    assert repr(entry) in str(caught.value)
