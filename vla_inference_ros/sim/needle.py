"""The simulated needle's motion: where it is and how hard it presses, as pure functions of time.

Cameras, robot and sensor all ask here, so they agree without talking to each other. Does not own
pictures, joint angles or A-scans.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

PERIOD = 20.0  # s: approach, insert, hold, retract
CLEAR_DEPTH, FULL_DEPTH = -5.0e-3, 4.0e-3  # m: tip in front of the surface, tip in the tissue
PUNCTURE_DEPTH = 1.5e-3  # m: the surface dents up to here, then gives way

# The tool's mobile-XYZ Euler angles alpha and beta [deg]; its z axis is the needle's axis.
TOOL_ALPHA, TOOL_BETA = 170.0, 40.0

# (time in the period [s], depth [m]); the needle is at rest at each of them.
_STOPS = (
    (0.0, CLEAR_DEPTH),
    (4.0, -0.5e-3),
    (5.0, -0.5e-3),
    (11.0, FULL_DEPTH),
    (14.0, FULL_DEPTH),
    (19.0, CLEAR_DEPTH),
    (PERIOD, CLEAR_DEPTH),
)
_STOP_TIMES = np.array([time for time, _ in _STOPS])
_STOP_DEPTHS = np.array([depth for _, depth in _STOPS])

# Force [N] over depth [m]: stiffening dent, sudden drop at puncture, friction along the shaft.
_FORCE_DEPTHS = np.array([0.0, 0.3e-3, 0.6e-3, 0.9e-3, 1.2e-3, PUNCTURE_DEPTH, 1.7e-3, 8.0e-3])
_FORCES = np.array([0.0, 0.02, 0.08, 0.18, 0.32, 0.5, 0.2, 0.7])


def needle_depths(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Insertion depths (n,) [m] at Unix times (n,) [s]; negative in front of the surface.

    Position, velocity and acceleration are continuous.
    """
    phase = np.mod(times, PERIOD)
    leg = np.clip(np.searchsorted(_STOP_TIMES, phase, side="right") - 1, 0, len(_STOPS) - 2)
    x = (phase - _STOP_TIMES[leg]) / (_STOP_TIMES[leg + 1] - _STOP_TIMES[leg])
    eased = x * x * x * (x * (6.0 * x - 15.0) + 10.0)
    depths: NDArray[np.float64] = (
        _STOP_DEPTHS[leg] + (_STOP_DEPTHS[leg + 1] - _STOP_DEPTHS[leg]) * eased
    )
    return depths


def needle_depth(t: float) -> float:
    """Insertion depth [m] at Unix time ``t`` [s]; negative in front of the surface."""
    return float(needle_depths(np.array([t]))[0])


def contact_forces(depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axial force (n,) [N] at insertion depths (n,) [m].

    A function of depth alone: the drop at puncture also shows, reversed, on the way out.
    """
    forces: NDArray[np.float64] = np.interp(depths, _FORCE_DEPTHS, _FORCES)
    return forces


def needle_axis() -> NDArray[np.float64]:
    """Unit vector (3,) in which the needle advances, in the robot's base frame."""
    alpha, beta = math.radians(TOOL_ALPHA), math.radians(TOOL_BETA)
    return np.array(
        [math.sin(beta), -math.sin(alpha) * math.cos(beta), math.cos(alpha) * math.cos(beta)]
    )
