from __future__ import annotations

import socket

import pytest

from vla_inference_ros.web.access import Access, check_token, is_local, new_token

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_these_are_for_this_machine_alone(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "*",
        "::",
        "fe80::1%eth0",
        "::ffff:10.0.0.7",
        "10.0.0.7",
        "robot",
        "",
        "localhost.evil.com",
    ],
)
def test_these_are_not(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize("header", ["localhost:8088", "127.0.0.1:8088", "[::1]:8088", "Localhost"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_this_machine_calls_itself_so(host: str, header: str) -> None:
    assert Access(host, "").is_our_name(header)


@pytest.mark.parametrize(
    "header", ["", "evil.example", "evil.example:8088", "127.0.0.1.evil.example", "[::1", "a@b:c:d"]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_names_of_others_are_not_ours(host: str, header: str) -> None:
    assert not Access(host, "").is_our_name(header)


@pytest.mark.parametrize(
    "header", ["10.0.0.7:8088", "[fe80::1]:8088", "robot-pc", socket.gethostname()]
)
def test_other_machines_use_an_address_or_our_name(header: str) -> None:
    assert Access("robot-pc", TOKEN).is_our_name(header)
    assert not Access("127.0.0.1", TOKEN).is_our_name(header)


def test_only_the_token_lets_in() -> None:
    access = Access("0.0.0.0", TOKEN)
    assert access.is_right(TOKEN)
    assert not any(map(access.is_right, ("", TOKEN[:-1], TOKEN + "x", "ü" * 16)))
    assert Access("127.0.0.1", "").is_right("")


def test_new_tokens_differ_and_are_good_ones() -> None:
    first, second = new_token(), new_token()
    assert first != second
    check_token(first)


@pytest.mark.parametrize("token", ["", "short", "x" * 201, "with space 123456", "ümlaut1234567890"])
def test_bad_tokens_are_refused(token: str) -> None:
    with pytest.raises(ValueError, match="a token needs 16 to 200 characters"):
        check_token(token)
