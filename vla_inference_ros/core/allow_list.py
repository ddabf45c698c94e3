"""Which addresses, of IPv4 and IPv6, may send to us."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from vla_inference_ros.core.address import plain, unmapped

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 addresses as IPv6 sockets write them


@dataclass(frozen=True, slots=True)
class AllowList:
    """Addresses and networks; an empty one allows every address. ``on_link`` are link-local
    addresses of one interface, such as fe80::1%eth0; without an interface they are of any.
    """

    networks: tuple[_Network, ...] = ()
    on_link: tuple[ipaddress.IPv6Address, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowList:
        """Read entries such as ``192.168.1.20, 10.0.0.0/8, fd00::/8``; '' allows all. Raises
        ValueError.
        """
        if not text.strip():
            return cls()
        entries = [plain(entry.strip()) for entry in text.split(",")]
        return cls(
            tuple(_network(entry) for entry in entries if "%" not in entry),
            tuple(_on_link(entry) for entry in entries if "%" in entry),
        )

    def allows(self, address: str) -> bool:
        """Whether ``address`` may send; ``::ffff:192.168.1.20`` is ``192.168.1.20``."""
        if not self.networks and not self.on_link:
            return True
        number = ipaddress.ip_address(unmapped(address))
        if number in self.on_link:
            return True
        bare = ipaddress.ip_address(str(number).partition("%")[0])
        return any(bare in network for network in self.networks)


def _network(entry: str) -> _Network:
    try:
        network = ipaddress.ip_network(entry)
    except ValueError as error:
        raise ValueError(
            f"{entry!r} is no address or network such as 192.168.1.20, 10.0.0.0/8 or fd00::/8: "
            f"{error}"
        ) from error
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        first = network.network_address.ipv4_mapped
        assert first is not None
        return ipaddress.IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))
    return network


def _on_link(entry: str) -> ipaddress.IPv6Address:
    try:
        return ipaddress.IPv6Address(entry)
    except ValueError as error:
        raise ValueError(f"{entry!r} is no address such as fe80::1%eth0: {error}") from error
