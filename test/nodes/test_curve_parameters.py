from __future__ import annotations

from pathlib import Path

import pytest
import zmq
from certificates import Certificate, allowing, certificate
from rclpy.node import Node

from vla_inference_ros.core.curve import read_pair, read_public
from vla_inference_ros.nodes.curve_parameters import client_keys, server_keys
from vla_inference_ros.nodes.parameters import ParameterError
from vla_inference_ros.nodes.vla_node import StartError


@pytest.fixture
def own(tmp_path: Path) -> Certificate:
    return certificate(tmp_path, "own")


@pytest.fixture
def other(tmp_path: Path) -> Certificate:
    return certificate(tmp_path, "other")


def test_nothing_is_encrypted_unless_asked_for(node: Node) -> None:
    assert server_keys(node, "", "") is None
    assert client_keys(node, "", "") is None


def test_the_keys_are_those_of_the_files(
    node: Node, own: Certificate, other: Certificate, tmp_path: Path
) -> None:
    client = client_keys(node, str(own.secret), str(other.public))
    assert client is not None
    assert (client.own, client.server) == (read_pair(own.secret), read_public(other.public))
    for clients in ("", str(allowing(tmp_path / "clients", other))):
        server = server_keys(node, str(own.secret), clients)
        assert server is not None
        assert server.own == read_pair(own.secret)
        assert server.clients == (Path(clients) if clients else None)


def test_a_home_folder_may_be_written_short(
    node: Node, own: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(own.secret.parent))
    keys = server_keys(node, f"~/{own.secret.name}", "")
    assert keys is not None
    assert keys.own == read_pair(own.secret)


def test_one_without_the_other_is_named(node: Node, own: Certificate, other: Certificate) -> None:
    with pytest.raises(ParameterError, match="'curve_clients' is set, but 'curve_certificate'"):
        server_keys(node, "", "folder")
    with pytest.raises(ParameterError, match="'curve_server' is empty, but 'curve_certificate'"):
        client_keys(node, str(own.secret), "")
    with pytest.raises(ParameterError, match="'curve_certificate' is empty, but 'curve_server'"):
        client_keys(node, "", str(other.public))


def test_a_file_that_cannot_be_used_is_named(node: Node, own: Certificate, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"'curve_certificate': .*none cannot be read"):
        server_keys(node, str(tmp_path / "none"), "")
    with pytest.raises(ParameterError, match=r"'curve_clients': .*none is no folder"):
        server_keys(node, str(own.secret), str(tmp_path / "none"))
    with pytest.raises(ParameterError, match=r"'curve_server': .*none cannot be read"):
        client_keys(node, str(own.secret), str(tmp_path / "none"))


def test_a_library_without_curve_is_named(
    node: Node, own: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zmq, "has", lambda feature: feature != "curve")
    with pytest.raises(StartError, match=r"'curve_certificate': libzmq .* without CURVE"):
        server_keys(node, str(own.secret), "")


def test_a_secret_that_others_may_read_is_warned_of(
    node: Node, own: Certificate, capfd: pytest.CaptureFixture[str]
) -> None:
    server_keys(node, str(own.secret), "")
    assert "chmod 600" not in capfd.readouterr().err
    own.secret.chmod(0o644)
    server_keys(node, str(own.secret), "")
    assert f"'chmod 600 {own.secret}'" in capfd.readouterr().err
