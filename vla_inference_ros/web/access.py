"""Who may see the page: by which name a browser calls this server, and by which token it is let in.

A page from elsewhere can point a name of its own at this machine (DNS rebinding) and then read what
is served here. The browser still calls the server by that name, which is not one of ours.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from vla_inference_ros.core.address import plain, unmapped

TOKEN_LENGTH = 16  # characters that a token must have
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_LENGTH},200}}")


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def check_token(token: str) -> None:
    """ValueError if a token is easy to guess, or does not fit into an address."""
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            f"a token needs {TOKEN_LENGTH} to 200 characters out of A-Z, a-z, 0-9, - and _"
        )


def is_local(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    return host.lower() == "localhost" or (_is_address(host) and _address(host).is_loopback)


@dataclass(frozen=True, slots=True)
class Access:
    """``host`` is what the server listens on; with an empty ``token`` none is asked for."""

    host: str
    token: str

    def is_our_name(self, header: str) -> bool:
        """Whether a Host header names this server. The port does not matter: it may be a tunnel's.

        Of a server for this machine, the names are this machine's own; else any address too, which
        no one else's name can stand behind.
        """
        try:
            name = (urlsplit(f"//{header}").hostname or "").lower()
        except ValueError:
            return False
        if is_local(name):
            return True
        return not is_local(self.host) and (_is_address(name) or name in self._names())

    def is_right(self, token: str) -> bool:
        """Whether a token lets in; takes as long for one that is nearly right."""
        return not self.token or hmac.compare_digest(token.encode(), self.token.encode())

    def _names(self) -> set[str]:
        own = socket.gethostname().lower()
        return {own, f"{own.partition('.')[0]}.local", self.host.lower()}


def _is_address(text: str) -> bool:
    try:
        _address(text)
    except ValueError:
        return False
    return True


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(unmapped(plain(text)))
