"""Which IPv4 addresses may send to us."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class AllowList:
    """Addresses and networks; an empty one allows every address."""

    networks: tuple[IPv4Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowList:
        """Read entries such as ``192.168.1.20, 10.0.0.0/8``; '' allows all. Raises ValueError."""
        if not text.strip():
            return cls()
        return cls(tuple(map(_network, text.split(","))))

    def allows(self, address: str) -> bool:
        """Whether ``address``, in dotted form, may send."""
        if not self.networks:
            return True
        number = IPv4Address(address)
        return any(number in network for network in self.networks)


def _network(entry: str) -> IPv4Network:
    try:
        return IPv4Network(entry.strip())
    except ValueError as error:
        raise ValueError(
            f"{entry.strip()!r} is no IPv4 address or network such as 192.168.1.20 or 10.0.0.0/8: "
            f"{error}"
        ) from error
