"""What a managed node does with a model that neither ends nor can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from vla_inference_ros.core.troubles import OVERDUE
from vla_inference_ros.nodes import managed_node
from vla_inference_ros.nodes.managed_node import ManagedNode
from vla_inference_ros.nodes.parameters import parameter


@dataclass(frozen=True, slots=True)
class Config:
    autostart: bool = parameter(False, "not by itself")


class Stuck(ManagedNode[Config]):
    """Its model is busy until ``free`` is set, whatever it is asked to."""

    def __init__(self) -> None:
        super().__init__("stuck", Config)
        self.free, self.busy = threading.Event(), threading.Event()
        self.stage = self.add_stream("stuck")

    def load(self) -> None:
        pass

    def unload(self) -> None:
        pass

    def work(self, stopping: threading.Event) -> None:
        with self.stage.doing("an update", 0.01):
            self.busy.set()
            self.free.wait()
        stopping.wait()


@pytest.fixture
def node() -> Iterator[Stuck]:
    rclpy.init()
    node = Stuck()
    node.trigger_configure()
    node.trigger_activate()
    assert node.busy.wait(10.0)
    yield node
    node.free.set()
    node.close()
    rclpy.shutdown()


def test_it_is_a_trouble_and_the_reason_of_a_hold_as_long_as_it_lasts(node: Stuck) -> None:
    time.sleep(0.02)
    assert node.stage.has_news()
    report = node.stage.report(time.time())
    assert list(report.troubles) == [OVERDUE]
    assert report.hold == "an update has been running for more than 0.01 s"
    node.free.set()
    while node.stage.overdue:
        time.sleep(0.001)
    assert node.stage.has_news()
    report = node.stage.report(time.time())
    assert (list(report.troubles), report.hold) == ([], "")


def test_a_worker_that_reports_itself_is_told_of_by_the_main_thread(
    node: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(node, "publish_news", lambda: told.append(node.stage.overdue))
    node.reports_itself = True
    time.sleep(0.02)
    node.look()
    assert told == ["an update has been running for more than 0.01 s"]


def test_deactivation_ends_the_process_if_the_model_does_not_stop(
    node: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed_node, "_DEACTIVATION_LIMIT", 0.05)
    assert node.trigger_deactivate() is not TransitionCallbackReturn.SUCCESS
    assert node.finished
    assert node.exit_status == 1


def test_deactivation_of_a_model_that_ends_goes_on(node: Stuck) -> None:
    node.free.set()
    assert node.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
    assert not node.finished
