"""What a chunk of tool poses looks like in a 3D view: its steps, and the ones they supersede.

Pure functions, no node needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from vla_inference_ros.core.validity import AgeBudget
from vla_inference_ros.nodes.predicted import Prediction

VALID, NOT_VALID = 1.0, 0.25  # how opaque a step is
GREY = ColorRGBA(r=0.6, g=0.6, b=0.6, a=0.6)
_SHORTEST = 0.5  # markers live as long as what they predict, and never shorter [s]


@dataclass(frozen=True, slots=True)
class Look:
    """How the markers are drawn: in ``frame_id``, spheres of the diameter ``size`` [m], coloured by
    the ``features`` ages.
    """

    frame_id: str
    size: float
    features: AgeBudget


def markers(prediction: Prediction, superseded: Prediction | None, look: Look) -> MarkerArray:
    """A line and a sphere a step; the superseded chunk's in grey. They vanish when no next chunk
    replaces them.
    """
    found = list(_drawn("predicted", prediction, _colors(prediction, look.features), look))
    if superseded is not None:
        found += _drawn("superseded", superseded, [GREY] * len(superseded.arm), look)
    header = Header(stamp=prediction.stamp, frame_id=look.frame_id)
    lifetime = Duration(seconds=max(prediction.duration, _SHORTEST)).to_msg()
    for marker in found:
        marker.header, marker.lifetime = header, lifetime
    return MarkerArray(markers=found)


def age_color(age: float, budget: AgeBudget) -> tuple[float, float, float]:
    """(red, green, blue) for an age [s]: green at 0, yellow at the soft limit, red from the hard
    one on, blended in between; red, too, for an age that cannot be believed.
    """
    if not age >= -budget.soft:  # from the future, as AgeBudget.excess has it, or NaN
        return 1.0, 0.0, 0.0
    red = np.interp(age, [0.0, budget.soft], [0.0, 1.0])
    # An age of just the hard limit is red also where both limits are the same.
    green = 0.0 if age >= budget.hard else np.interp(age, [budget.soft, budget.hard], [1.0, 0.0])
    return float(red), float(green), 0.0


def _colors(prediction: Prediction, budget: AgeBudget) -> list[ColorRGBA]:
    """Each step's, by the features' age at its own time."""
    colors = []
    for index in range(len(prediction.arm)):
        age = prediction.features_age + index * prediction.step_dt
        red, green, blue = age_color(age, budget)
        alpha = VALID if index < prediction.valid_steps else NOT_VALID
        colors.append(ColorRGBA(r=red, g=green, b=blue, a=alpha))
    return colors


def _drawn(
    namespace: str, prediction: Prediction, colors: Sequence[ColorRGBA], look: Look
) -> Iterator[Marker]:
    """The line, unless there is only one step, and the spheres."""
    points = _points(prediction.arm)
    for number, kind in enumerate((Marker.LINE_STRIP, Marker.SPHERE_LIST)):
        marker = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD, points=points)
        marker.color, marker.colors = GREY, list(colors)
        scale = marker.scale
        if kind == Marker.LINE_STRIP:
            scale.x = look.size / 2  # its width; viewers complain of a line with other sizes
        else:
            scale.x = scale.y = scale.z = look.size
        if kind == Marker.SPHERE_LIST or len(points) > 1:
            yield marker


def _points(arm: NDArray[np.float64]) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in arm[:, :3].tolist()]
