"""Cameras that have been sending for a while before the bridge is there, to the whole graph.

Each picture says when it was taken: no stamp may say anything else, whatever waited before it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from dated_cameras import DatedCameras, date_of
from harness import Listener
from restarting import Graph
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.troubles import BACKLOG, CLOCK_LEARNING
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, InferenceStatus, VLFeatures

CLOSE = 0.05  # how right a stamp must be; a backlog's would be off by seconds [s]
RECOVERY = 3.0  # [s]
OLDEST = 2.0  # that a picture of a chunk may be, and 1 s of one that is OK [s]


@dataclass
class Heard:
    """All pictures, features, chunks and verdicts."""

    listener: Listener

    def __post_init__(self) -> None:
        self.images: list[list[CompressedImage]] = [
            self.listener.listen(CompressedImage, f"/camera/{view.lower()}/image_raw/compressed")
            for view in VIEWS
        ]
        self.features: list[VLFeatures] = self.listener.listen(VLFeatures, "/vla/features")
        self.chunks: list[ActionChunk] = self.listener.listen(ActionChunk, "/vla/actions")
        self.statuses: list[InferenceStatus] = self.listener.listen(InferenceStatus, "/vla/status")

    def ok_since(self, begin: float) -> list[float]:
        """The instants after ``begin`` [Unix s] that chunks are OK for."""
        stamps = [seconds(c.header.stamp) for c in self.chunks if c.validity == ActionChunk.OK]
        return [stamp for stamp in stamps if stamp > begin]

    def troubles_since(self, begin: float) -> set[str]:
        """All that the verdicts have named."""
        return {
            trouble
            for status in self.statuses
            if seconds(status.header.stamp) >= begin
            for trouble in status.troubles
        }

    def wait(self, condition: Callable[[], object]) -> None:
        self.listener.spin_until(condition)

    def check(self) -> None:
        """No stamp is wrong, and no chunk was made of what is too old."""
        dates: dict[float, float] = {}
        for image in (image for images in self.images for image in images):
            stamp, date = seconds(image.header.stamp), date_of(image.data.tobytes())
            assert abs(stamp - date) < CLOSE, f"a picture of {date:.3f} is stamped {stamp:.3f}"
            dates[stamp] = date
        for chunk in self.chunks:
            ages = [
                seconds(chunk.header.stamp) - dates.get(seconds(stamp), seconds(stamp))
                for stamp in chunk.view_stamps
            ]
            assert max(ages) < OLDEST + CLOSE
            assert chunk.validity != ActionChunk.OK or max(ages) < OLDEST / 2 + CLOSE


@pytest.mark.parametrize(("skew", "sends_time"), [(3600.0, True), (-3600.0, True), (0.0, False)])
def test_what_has_waited_at_the_cameras_is_never_taken_for_new(
    skew: float, sends_time: bool, listener: Listener, patience: float
) -> None:
    heard = Heard(listener)
    with Graph(without=["sim_camera"], dead_pictures="warn") as graph:
        port = graph.ports["camera_bridge"]
        with DatedCameras(port, 60.0, skew=skew, sends_time=sends_time):
            heard.wait(lambda: heard.ok_since(0.0))
            heard.check()
            assert {f"{view}: {CLOCK_LEARNING}" for view in VIEWS} <= heard.troubles_since(0.0)
            if not skew < 0.0:
                return
            graph.kill(["camera_bridge"])
            listener.spin_for(4.0)
            graph.start(["camera_bridge"])
            started = time.time()
            heard.wait(lambda: any(seconds(i[-1].header.stamp) > started for i in heard.images))
            back = time.time()
            heard.wait(lambda: heard.ok_since(back))
            assert heard.ok_since(back)[0] - back < RECOVERY * patience
            # Its clocks may be learnt before the monitor knows of the new bridge: not asked for.
            heard.check()


def test_what_has_waited_while_the_bridge_stood_still_is_as_old_as_it_is(
    listener: Listener, patience: float
) -> None:
    heard = Heard(listener)
    with (
        Graph(without=["sim_camera"], dead_pictures="warn") as graph,
        DatedCameras(graph.ports["camera_bridge"], 0.0),
    ):
        heard.wait(lambda: heard.ok_since(0.0))
        bridge = graph.running["camera_bridge"].process
        bridge.send_signal(signal.SIGSTOP)
        stopped = time.time()
        heard.wait(lambda: heard.statuses[-1].state == InferenceStatus.HOLD)
        # Shorter than what the nodes are forgotten after: reports would find nobody for a second.
        listener.spin_for(0.5)
        bridge.send_signal(signal.SIGCONT)
        resumed = time.time()
        heard.wait(lambda: heard.ok_since(resumed))
        assert heard.ok_since(resumed)[0] - resumed < RECOVERY * patience
        heard.wait(lambda: heard.statuses[-1].state == InferenceStatus.OK)
        heard.check()
        troubles = heard.troubles_since(stopped)
        assert any(f"{view}: {BACKLOG}" in troubles for view in VIEWS)
        assert not any(CLOCK_LEARNING in trouble for trouble in troubles)
