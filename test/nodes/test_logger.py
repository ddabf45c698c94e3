"""What a node logs: nothing in it acts on a terminal, and it says where it was logged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy

from vla_inference_ros.nodes.saving import SavingConfig
from vla_inference_ros.nodes.vla_node import VlaNode


@pytest.fixture
def node() -> Iterator[VlaNode[SavingConfig]]:
    rclpy.init()
    node = VlaNode("talker", SavingConfig)
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "fatal"])
def test_no_text_acts_on_a_terminal_or_raises(
    node: VlaNode[SavingConfig], level: str, capfd: pytest.CaptureFixture[str]
) -> None:
    node.get_logger().set_level(rclpy.logging.LoggingSeverity.DEBUG)
    for _ in range(2):
        assert getattr(node.get_logger(), level)(
            "left\ud800 \x1b[2J\n[INFO] all is well\n  one more"
        )
    said = capfd.readouterr()
    lines = (said.out + said.err).splitlines()
    assert [line.partition(": ")[2] for line in lines[::2]] == [
        r"left\ud800 \x1b[2J\n[INFO] all is well"
    ] * 2
    assert lines[1::2] == ["  one more"] * 2


def test_a_refusal_is_counted_by_the_kind_or_the_type_of_the_error(
    node: VlaNode[SavingConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    stream = node.add_stream("camera")
    for text in ("View1\ud800", "\x1b[2J"):
        try:
            raise KeyError(text)
        except KeyError as error:
            stream.refuse(error)
    assert stream.tally.read().problems == {"unexpected KeyError": 2}
    assert stream.troubles.current() == ["unexpected KeyError"]
    said = capfd.readouterr().err
    assert r"because of a KeyError in test_logger.py, line" in said
    assert len(said.splitlines()) == 1  # at a limited rate
