"""The CURVE parameters of the nodes with a ZMQ socket, and the keys that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import zmq
from rclpy.node import Node

from vla_inference_ros.core.curve import (
    ClientKeys,
    CurveError,
    KeyPair,
    ServerKeys,
    check_clients,
    is_exposed,
    read_pair,
    read_public,
)
from vla_inference_ros.nodes.parameters import ParameterError
from vla_inference_ros.nodes.vla_node import StartError

CERTIFICATE = "file of this side's secret CURVE certificate (*.key_secret); '' for no encryption"
CLIENTS = (
    "folder of the public CURVE certificates (*.key) of those who may connect; '' for all who "
    "know this side's public key"
)
SERVER = "file of the other side's public CURVE certificate (*.key)"

Value = TypeVar("Value")


def server_keys(node: Node, certificate: str, clients: str) -> ServerKeys | None:
    """Of a node that listens, from ``curve_certificate`` and ``curve_clients``; None if off.

    Raises ParameterError or StartError.
    """
    if not certificate:
        if clients:
            raise ParameterError(
                "parameter 'curve_clients' is set, but 'curve_certificate' is not: without "
                "encryption nobody can be told apart"
            )
        return None
    own = _own(node, certificate)
    if not clients:
        return ServerKeys(own)
    folder = Path(clients).expanduser()
    _named("curve_clients", check_clients, folder)
    return ServerKeys(own, folder)


def client_keys(node: Node, certificate: str, server: str) -> ClientKeys | None:
    """Of a node that connects, from ``curve_certificate`` and ``curve_server``; None if off.

    Raises ParameterError or StartError.
    """
    if not certificate and not server:
        return None
    if not certificate or not server:
        missing, other = ("curve_certificate", "curve_server")[:: 1 if server else -1]
        raise ParameterError(
            f"parameter {missing!r} is empty, but {other!r} is set: CURVE needs both, or neither"
        )
    own = _own(node, certificate)
    return ClientKeys(own, _named("curve_server", read_public, Path(server).expanduser()))


def _own(node: Node, certificate: str) -> KeyPair:
    if not zmq.has("curve"):
        raise StartError(
            f"parameter 'curve_certificate': libzmq {zmq.zmq_version()} was built without CURVE: "
            "install pyzmq from PyPI, or leave the parameter empty"
        )
    file = Path(certificate).expanduser()
    pair = _named("curve_certificate", read_pair, file)
    if is_exposed(file):
        node.get_logger().warning(
            f"others may read the secret key in {file}: 'chmod 600 {file}' keeps it to its owner"
        )
    return pair


def _named(parameter: str, read: Callable[[Path], Value], path: Path) -> Value:
    try:
        return read(path)
    except CurveError as error:
        raise ParameterError(f"parameter {parameter!r}: {error}") from error
