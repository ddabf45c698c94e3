"""What the other nodes tell the monitor: reports of streams, and the action expert's chunks."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import Listener

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, InferenceStatus, StreamReport


def chunk(chunk_id: int, duration: float, **fields: Any) -> ActionChunk:
    actions = array("f", [0.1234, -0.0449, 0.0891, 0.5, 0.6, 0.7, 0.8] * 8)
    given = {"header": header(1.7e9), "actions": actions}
    given |= {"vl_reuse_index": 1, "sensor_samples": 65} | fields
    return ActionChunk(
        chunk_id=chunk_id,
        step_dt=0.1,
        horizon=8,
        action_dim=7,
        inference_time=duration,
        vl_reuse_limit=4,
        features_stamp=time_message(1.7e9 - 0.5),
        sensor_window=65,
        **given,
    )


@dataclass
class Others:
    """All other nodes, as far as the monitor knows them."""

    listener: Listener

    def report(self, node: str, stream: str, accepted: int, **fields: Any) -> None:
        """A healthy stream's report, its newest item 1/16 s old, but for ``fields``."""
        now = time.time()
        given = {"rate": 10.0, "ready": True} | fields
        message = StreamReport(
            header=header(now),
            node=node,
            stream=stream,
            accepted=accepted,
            newest_stamp=time_message(now - 1 / 16),
            **given,
        )
        self.listener.deliver(message, "/vla/reports")

    def expert(self) -> None:
        """The action expert's report, without which its chunks are nobody's."""
        self.report("action_expert", "action_expert", 100, fill=65, capacity=65)

    def introduce_expert(self, statuses: list[InferenceStatus]) -> None:
        """Report until the monitor knows the action expert."""
        self.listener.spin_until(
            lambda: statuses and "action_expert" not in statuses[-1].reason, repeat=self.expert
        )

    def chunk(self, message: ActionChunk) -> None:
        """A chunk of the expert's."""
        self.expert()
        self.listener.deliver(message, "/vla/actions")

    def reports(self, bad_jpegs: int = 2, troubles: Sequence[str] = ()) -> None:
        self.report(
            "vlm", "vlm", 25, problem_kinds=["skipped tick"], problem_counts=[4], rejected=4
        )
        self.expert()
        for view in VIEWS:
            self.report("camera_bridge", view, 3000)
            self.report("vlm", view, 250)
        self.report(
            "camera_bridge",
            "camera",
            0,
            ignored=7,
            problem_kinds=["bad JPEG"],
            problem_counts=[bad_jpegs],
            rejected=bad_jpegs,
            troubles=list(troubles),
        )
        self.report("sensor_bridge", "sensor", 65_000, clock_mode="calibrate", clock_offset=-3.25)
        self.report("robot_bridge", "robot", 10_000)
