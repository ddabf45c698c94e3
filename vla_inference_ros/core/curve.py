"""CURVE, ZMQ's encryption: reads certificates and makes a socket take part.

Owns what a usable certificate is, and who is let in. Does not own the sockets. The files are those
that ``zmq.auth.create_certificates`` writes: NAME.key for others, NAME.key_secret for its owner.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

_KEY_BYTES = 32
_DOMAIN = "vla"  # with a domain libzmq refuses all while nobody answers for it


class CurveError(ValueError):
    """A certificate cannot be used; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One side's own keys, in Z85."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """For a socket that binds. ``clients`` is the folder of the public certificates of those who
    may connect; None lets in everybody who knows our public key.
    """

    own: KeyPair
    clients: Path | None = None


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """For a socket that connects, to the one that has the public key ``server``."""

    own: KeyPair
    server: bytes


def read_pair(file: Path) -> KeyPair:
    """The keys of a secret certificate; raises CurveError."""
    public, secret = _load(file)
    if secret is None:
        raise CurveError(
            f"{file} holds no secret key: name the file {file.stem}.key_secret that was made "
            "together with it"
        )
    pair = KeyPair(_checked(public, file), _checked(secret, file))
    if zmq.curve_public(pair.secret) != pair.public:
        raise CurveError(f"the two keys in {file} do not belong together: make new certificates")
    return pair


def read_public(file: Path) -> bytes:
    """The key of a public certificate; raises CurveError."""
    public, secret = _load(file)
    if secret is not None:
        raise CurveError(
            f"{file} holds a secret key, which only its owner should have: name the public file "
            f"{file.stem}.key"
        )
    return _checked(public, file)


def check_clients(folder: Path) -> None:
    """Raises CurveError unless a folder holds public certificates, all of them good."""
    if not folder.is_dir():
        raise CurveError(f"{folder} is no folder")
    files = list(folder.glob("*.key"))
    if not files:
        raise CurveError(f"{folder} holds no public certificates (*.key): nobody could connect")
    for file in files:
        read_public(file)


def is_exposed(file: Path) -> bool:
    """Whether others than its owner may read or change a file."""
    return bool(file.stat().st_mode & 0o077)


def secure_client(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Encrypt a socket that is yet to connect."""
    _set_keys(socket, keys.own)
    socket.set(zmq.CURVE_SERVERKEY, keys.server)


@contextmanager
def serving(socket: zmq.Socket[bytes], keys: ServerKeys) -> Iterator[None]:
    """Encrypt a socket that is yet to bind; who may connect is checked until the end.

    The clients' certificates are read at the start.
    """
    _set_keys(socket, keys.own)
    socket.set(zmq.CURVE_SERVER, 1)
    if keys.clients is None:
        yield
        return
    socket.set(zmq.ZAP_DOMAIN, _DOMAIN.encode())
    socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    authenticator = ThreadAuthenticator(socket.context)
    authenticator.configure_curve(domain=_DOMAIN, location=keys.clients)
    authenticator.start()
    try:
        yield
    finally:
        authenticator.stop()


def _set_keys(socket: zmq.Socket[bytes], own: KeyPair) -> None:
    socket.set(zmq.CURVE_PUBLICKEY, own.public)
    socket.set(zmq.CURVE_SECRETKEY, own.secret)


def _load(file: Path) -> tuple[bytes, bytes | None]:
    try:
        return zmq.auth.load_certificate(file)
    except (OSError, ValueError) as error:
        raise CurveError(f"{file} cannot be read as a CURVE certificate: {error}") from error


def _checked(key: bytes, file: Path) -> bytes:
    try:
        size = len(z85.decode(key))
    except (ValueError, KeyError, struct.error):  # wrong length, letter or value
        size = 0
    if size != _KEY_BYTES:
        raise CurveError(f"{file} holds a damaged key: is it whole?")
    return key
