"""Hears all senders at once, and looks at the ROS domain meanwhile.

Owns which senders are heard on their own sockets, which by the reports of a bridge that runs, and
which not at all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from vla_inference_ros.doctor.domain import DomainFacts
from vla_inference_ros.doctor.heard import Heard
from vla_inference_ros.doctor.listening import (
    CamerasHeard,
    ListenError,
    listen_to_cameras,
    listen_to_robot,
    listen_to_sensor,
    why_unreachable,
)
from vla_inference_ros.doctor.ports import PortFacts
from vla_inference_ros.doctor.settings import Settings

if TYPE_CHECKING:
    from vla_inference_ros.doctor.watch import DomainWatch

DISCOVERY_TIME = 2.5  # in which nodes that announce themselves every second are found [s]
CAMERA, ROBOT, SENSOR = "camera_bridge", "robot_bridge", "sensor_bridge"
_OWN_SENDERS = "sim:=true starts its own sender"

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard, from sockets or from reports. By bridge: why there was nothing to hear
    (``skipped``), why it could not be heard (``failed``), or that a running one says nothing.
    """

    cameras: CamerasHeard | None = None
    robot: Heard | None = None
    robot_unreachable: str = ""
    sensor: Heard | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


def hear(
    settings: Settings, found: Sequence[PortFacts], seconds: float, *, has_ros: bool
) -> tuple[Hearing, DomainFacts | None]:
    """Sockets and the ROS domain, all at once."""
    state = {each.wanted.node: each for each in found}
    own = {name for name in (CAMERA, SENSOR) if state[name].held_by_own_node}
    skips = {
        name: f"port {each.wanted.port} is not free, see above"
        for name, each in state.items()
        if not each.free and name not in own
    }
    if settings.sim and not own:
        skips |= dict.fromkeys((CAMERA, ROBOT, SENSOR), _OWN_SENDERS)
    views = views_of_bridge(settings) if CAMERA in own else []
    failed: dict[str, str] = {}
    stop = threading.Event()
    with ExitStack() as stack:
        # First, because it keeps the interpreter busy, and would hold up who listens.
        joined = _join(stack, views) if has_ros else None
        pool = stack.enter_context(ThreadPoolExecutor(4))
        stack.callback(stop.set)

        def heard(name: str, listen: Callable[..., Found]) -> Future[Found] | None:
            is_heard = name not in skips and name not in own
            return pool.submit(listen, settings, seconds, stop) if is_heard else None

        cameras = heard(CAMERA, listen_to_cameras)
        robot = heard(ROBOT, listen_to_robot)
        sensor = heard(SENSOR, listen_to_sensor)
        host, port = str(settings.of(ROBOT, "host")), int(settings.of(ROBOT, "port"))
        reach = pool.submit(why_unreachable, host, port)
        facts = joined.look(max(seconds, DISCOVERY_TIME)) if joined else None
        result = Hearing(
            cameras=_outcome(CAMERA, cameras, failed),
            robot=_outcome(ROBOT, robot, failed),
            robot_unreachable=reach.result(),
            sensor=_outcome(SENSOR, sensor, failed),
            skipped=skips,
            failed=failed,
        )
    return _with_reports(result, own, facts, seconds), facts


def _join(stack: ExitStack, views: Sequence[str]) -> DomainWatch:
    from vla_inference_ros.doctor.watch import DomainWatch

    watch = DomainWatch(os.environ.get("ROS_DOMAIN_ID", ""), views)
    stack.callback(watch.close)
    return watch


def _outcome(name: str, future: Future[Found] | None, failed: dict[str, str]) -> Found | None:
    if future is None:
        return None
    try:
        return future.result()
    except ListenError as error:
        failed[name] = str(error)
        return None


def _with_reports(
    heard: Hearing, own: set[str], joined: DomainFacts | None, seconds: float
) -> Hearing:
    """Of bridges that run, what they report in the domain."""
    streams = joined.streams if joined is not None else {}
    silent = {
        name: f"{name} runs, but does not report in this ROS domain"
        for name in own
        if not any(node == name for node, _ in streams)
    }
    cameras, sensor = heard.cameras, heard.sensor
    if CAMERA in own - set(silent):
        views = {stream: each for (node, stream), each in streams.items() if node == CAMERA}
        refused = views.pop("camera", Heard(seconds))
        cameras = CamerasHeard(views, (), refused)
    if SENSOR in own - set(silent):
        sensor = streams.get((SENSOR, "sensor"), Heard(seconds))
    return replace(heard, cameras=cameras, sensor=sensor, silent=silent)


def views_of_bridge(settings: Settings) -> list[str]:
    """The views that the model takes from the camera bridge, not from another driver's topics."""
    views, topics = settings.of("vlm", "views"), settings.of("vlm", "compressed_topics")
    return [
        view
        for view, topic in zip(views, topics, strict=False)
        if topic == f"/camera/{view.lower()}/image_raw/compressed"
    ]
