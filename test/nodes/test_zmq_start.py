"""The start of a ZMQ bridge's socket: an address it cannot have, its threads and their priority."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zmq
from certificates import Certificate
from rclpy.node import Node

from vla_inference_ros.core.curve import ServerKeys, read_pair
from vla_inference_ros.core.priority import raise_priority, thread_names, threads
from vla_inference_ros.doctor.machine import gather_priority
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import StartError
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver

TIMEOUT = 80.0  # of a process that makes a hundred sockets [s]
LIMIT = 1000  # bytes


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_port_in_use_is_named(
    encrypted: bool, node: Node, server: Certificate, tmp_path: Path
) -> None:
    keys = ServerKeys(read_pair(server.secret), server.public.parent) if encrypted else None
    threads = threading.active_count()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        receiver = ZmqReceiver(zmq.PULL, Stream(node, "stream"), LIMIT, "")
        with pytest.raises(StartError, match=rf"'port': .*{port}: .*in use"):
            receiver.bind("127.0.0.1", port, keys)
    assert threading.active_count() == threads


def test_an_address_that_is_none_is_named(node: Node) -> None:
    receiver = ZmqReceiver(zmq.SUB, Stream(node, "stream"), LIMIT, "")
    with pytest.raises(StartError, match="'host' and 'port': cannot connect to tcp://no host:1"):
        receiver.connect("no host", 1)


def test_libzmqs_threads_may_be_given_a_priority_from_the_first_moment(node: Node) -> None:
    """Otherwise libzmq ends the process now and then. Threads of another context are of no help."""
    with zmq.Context() as other, other.socket(zmq.PULL):
        before = set(threads())
        for number in range(200):
            receiver = ZmqReceiver(zmq.PULL, Stream(node, f"first moment {number}"), LIMIT, "")
            own = set(threads()) - before
            assert thread_names(own) == {"ZMQbg/Reaper", "ZMQbg/IO/0"}
            raise_priority(1, own)  # as a node's worker does; it may be refused
            receiver.close()


# One node of a process takes its priority, again and again, while another makes its sockets.
CLAIMS = """
import sys, threading
import rclpy, zmq
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import VlaNode
from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver

rclpy.init()
node = VlaNode("zmq_socket", ThreadConfig)
stopping = threading.Event()

def claim():
    priority = 1
    while not stopping.is_set():
        node.claim_cpu("", priority)
        priority = 3 - priority

claiming = threading.Thread(target=claim)
claiming.start()
for _ in range(int(sys.argv[1])):
    ZmqReceiver(zmq.PULL, Stream(node, "test"), 1000, "").close()
stopping.set()
claiming.join()
"""


@pytest.mark.skipif(bool(gather_priority(1)), reason="needs real-time priority")
def test_a_node_may_claim_the_cpu_while_another_of_its_process_makes_a_socket() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLAIMS, "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
        cwd="/",  # not where the sources are, which lack what is built
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-2000:]
