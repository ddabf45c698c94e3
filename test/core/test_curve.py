from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq
from certificates import Certificate, allowing, certificate
from zmq.utils.monitor import recv_monitor_message

from vla_inference_ros.core.curve import (
    ClientKeys,
    CurveError,
    ServerKeys,
    check_clients,
    is_exposed,
    read_pair,
    read_public,
    secure_client,
    serving,
)

TIMEOUT_MS = 10_000  # until what should come at once has failed to
OUTCOMES = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


@contextmanager
def receiver(keys: ServerKeys) -> Iterator[tuple[zmq.Socket[bytes], int]]:
    """An encrypted PULL socket, and its port."""
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        pull = stack.enter_context(context.socket(zmq.PULL))
        stack.enter_context(serving(pull, keys))
        yield pull, pull.bind_to_random_port("tcp://127.0.0.1")


@contextmanager
def sender(keys: ClientKeys | None) -> Iterator[zmq.Socket[bytes]]:
    """A PUSH socket that is yet to connect."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        if keys is not None:
            secure_client(push, keys)
        yield push


def is_refused(port: int, keys: ClientKeys | None) -> bool:
    """Whether the handshake fails; False if it succeeds."""
    with sender(keys) as push, push.get_monitor_socket(OUTCOMES) as monitor:
        push.connect(f"tcp://127.0.0.1:{port}")
        assert monitor.poll(TIMEOUT_MS)
        return bool(recv_monitor_message(monitor)["event"] != zmq.EVENT_HANDSHAKE_SUCCEEDED)


def keys_of(client: Certificate, server: Certificate) -> ClientKeys:
    return ClientKeys(read_pair(client.secret), read_public(server.public))


@pytest.mark.parametrize("named", [False, True])
def test_the_right_keys_pass(
    named: bool, server: Certificate, client: Certificate, tmp_path: Path
) -> None:
    clients = allowing(tmp_path / "clients", client) if named else None
    with (
        receiver(ServerKeys(read_pair(server.secret), clients)) as (pull, port),
        sender(keys_of(client, server)) as push,
    ):
        push.connect(f"tcp://127.0.0.1:{port}")
        push.send(b"hello")
        assert pull.poll(TIMEOUT_MS)
        assert pull.recv() == b"hello"


def test_others_do_not_get_through(
    server: Certificate, client: Certificate, tmp_path: Path
) -> None:
    other = certificate(tmp_path, "other")
    with receiver(ServerKeys(read_pair(server.secret))) as (pull, port):
        assert is_refused(port, None)
        assert is_refused(port, keys_of(client, other))
        assert not is_refused(port, keys_of(other, server))  # anybody who knows our public key
        assert not pull.poll(0)


def test_only_clients_with_a_certificate_in_the_folder_are_let_in(
    server: Certificate, client: Certificate, tmp_path: Path
) -> None:
    stranger = certificate(tmp_path, "stranger")
    clients = allowing(tmp_path / "clients", client)
    with receiver(ServerKeys(read_pair(server.secret), clients)) as (pull, port):
        assert is_refused(port, keys_of(stranger, server))
        assert not is_refused(port, keys_of(client, server))
        assert not pull.poll(0)


def test_clients_are_refused_once_nobody_checks_them(
    server: Certificate, client: Certificate, tmp_path: Path
) -> None:
    clients = allowing(tmp_path / "clients", client)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        with serving(pull, ServerKeys(read_pair(server.secret), clients)):
            port = pull.bind_to_random_port("tcp://127.0.0.1")
            assert not is_refused(port, keys_of(client, server))
        assert is_refused(port, keys_of(client, server))


def test_a_secret_key_is_not_shown(server: Certificate) -> None:
    pair = read_pair(server.secret)
    assert pair.secret.decode() not in repr(ServerKeys(pair))


def test_a_file_without_a_secret_key(server: Certificate) -> None:
    with pytest.raises(CurveError, match=r"server\.key holds no secret key: name .*key_secret"):
        read_pair(server.public)


def test_a_secret_is_not_for_others(server: Certificate, tmp_path: Path) -> None:
    with pytest.raises(CurveError, match="holds a secret key, which only its owner should have"):
        read_public(server.secret)
    folder = tmp_path / "clients"
    folder.mkdir()
    server.secret.rename(folder / "server.key")
    with pytest.raises(CurveError, match="holds a secret key"):
        check_clients(folder)


def test_keys_of_two_certificates(server: Certificate, client: Certificate) -> None:
    mixed = server.secret.read_bytes().replace(
        read_pair(server.secret).public, read_public(client.public)
    )
    server.secret.write_bytes(mixed)
    with pytest.raises(CurveError, match="do not belong together"):
        read_pair(server.secret)


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 39, b"x" * 45, b"#" * 40, b"\xff" * 40])
def test_a_damaged_key(key: bytes, server: Certificate) -> None:
    server.public.write_bytes(b'curve\n  public-key = "' + key + b'"\n')
    with pytest.raises(CurveError, match=r"server\.key (holds a damaged key|cannot be read)"):
        read_public(server.public)


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no certificate", encoding="utf-8")
    for file in (text, tmp_path / "none", tmp_path):
        with pytest.raises(CurveError, match="cannot be read as a CURVE certificate"):
            read_pair(file)
        with pytest.raises(CurveError, match="cannot be read as a CURVE certificate"):
            read_public(file)


def test_a_folder_of_clients(client: Certificate, tmp_path: Path) -> None:
    folder = tmp_path / "clients"
    with pytest.raises(CurveError, match="clients is no folder"):
        check_clients(folder)
    folder.mkdir()
    (folder / "client.key_secret").write_bytes(client.secret.read_bytes())
    with pytest.raises(CurveError, match=r"holds no public certificates \(\*\.key\)"):
        check_clients(folder)
    (folder / "client.key").write_bytes(client.public.read_bytes())
    check_clients(folder)


def test_who_may_read_a_file(server: Certificate) -> None:
    assert not is_exposed(server.secret)
    for mode in (0o640, 0o604, 0o602):
        server.secret.chmod(mode)
        assert is_exposed(server.secret)
