from __future__ import annotations

import socket
from typing import Any

import pytest
from ipv6 import HOSTS, needs_ipv6

from vla_inference_ros.core.address import (
    EVERYWHERE,
    has_ipv6,
    named,
    new_socket,
    plain,
    resolve,
    split,
    to_listen_on,
    unmapped,
    with_port,
)

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("127.0.0.1", "127.0.0.1:5556"),
        ("robot", "robot:5556"),
        ("*", "*:5556"),
        ("::1", "[::1]:5556"),
        ("[::1]", "[::1]:5556"),
        ("fe80::1%eth0", "[fe80::1%eth0]:5556"),
    ],
)
def test_an_address_and_its_port_are_one_text_and_two_again(host: str, text: str) -> None:
    assert with_port(host, 5556) == text
    assert split(text) == (plain(host), 5556)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "host", "host:", ":5556", "host:0", "host:65536", "host:-1", "host:x", "host:٣"),
        *("::1", "::1:5556", "[::1]", "[::1:5556", "[host]:5556", "ho st:5556", "ho/st:5556"),
    ],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form HOST:PORT"):
        split(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:192.168.1.20", "192.168.1.20"),
        ("::FFFF:c0a8:114", "192.168.1.20"),
        ("192.168.1.20", "192.168.1.20"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("::ffff:no address", "::ffff:no address"),
    ],
)
def test_a_mapped_address_is_one_of_ipv4(written: str, meant: str) -> None:
    assert unmapped(written) == meant


def test_the_other_end_is_named_with_its_interface() -> None:
    index, name = socket.if_nameindex()[0]
    assert named(("127.0.0.1", 5)) == ("127.0.0.1", 5)
    assert named(("::ffff:127.0.0.1", 5, 0, 0)) == ("127.0.0.1", 5)
    assert named(("fe80::1", 5, 0, index)) == (f"fe80::1%{name}", 5)
    assert named(("fe80::1", 5, 0, 2**30)) == (f"fe80::1%{2**30}", 5)  # one that has gone


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_has_both_is_ipv4(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [
        (V6, socket.SOCK_DGRAM, 17, "", ("::1", 7, 0, 0)),
        (V4, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 7)),
    ][::order]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert resolve("robot", 7) == (V4, ("127.0.0.1", 7))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [each for each in both if each[0] == V6]
    )
    assert resolve("robot", 7) == (V6, ("::1", 7, 0, 0))


@pytest.mark.parametrize("host", ["", " ", "no host", "[]", "a" * 100, "256.0.0.1", "::g", "*"])
def test_what_no_host_can_be_is_refused(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the system's own words
        resolve(host, 7)


def test_a_link_local_address_needs_its_interface() -> None:
    with pytest.raises(OSError, match="name its interface, as fe80::1%eth0"):
        resolve("fe80::1", 7)
    index, name = socket.if_nameindex()[0]
    assert resolve(f"fe80::1%{name}", 7) == (V6, ("fe80::1", 7, 0, index))


@pytest.mark.parametrize("port", [-1, 65536, 10**20])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(OSError, match="is no port"):
        resolve("127.0.0.1", port)


@pytest.mark.parametrize("host", HOSTS)
def test_an_address_of_ipv6_is_listened_on_and_reached(host: str) -> None:
    family, own = to_listen_on(host, 0)
    assert family == V6
    with new_socket(family, socket.SOCK_DGRAM) as server:
        server.bind(own)
        family, there = resolve(host, server.getsockname()[1])
        with new_socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", there)
            server.settimeout(10.0)
            assert named(server.recvfrom(1)[1])[0] == host


@needs_ipv6
@pytest.mark.parametrize("host", EVERYWHERE)
def test_all_addresses_are_those_of_both_kinds(host: str) -> None:
    family, own = to_listen_on(host, 0)
    with new_socket(family, socket.SOCK_DGRAM) as server:
        server.bind(own)
        server.settimeout(10.0)
        for client_host in ("127.0.0.1", "::1"):
            client_family, there = resolve(client_host, server.getsockname()[1])
            with new_socket(client_family, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", there)
                assert named(server.recvfrom(1)[1])[0] == client_host


def test_a_host_without_ipv6_listens_on_all_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without(family: int = V4, *rest: Any) -> socket.socket:
        if family == V6:
            raise OSError("Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", without)
    assert not has_ipv6()
    assert to_listen_on("*", 7) == (V4, ("0.0.0.0", 7))
