"""The simulated OCT fibre in the needle's tip: force and A-scans as functions of time.

Owns the tissue's layers and the speckle. Does not own the needle's motion or the socket.
The fibre looks ahead along the needle: a layer's echo moves towards the first point as the tip
comes nearer and is gone once the tip has passed it.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.sim.needle import contact_forces, needle_depths

SCAN_RANGE = 8.0e-3  # m, seen by one A-scan
POINT_SPACING = SCAN_RANGE / ASCAN_LENGTH  # m

_TABLE_START, _TABLE_END = -9.0e-3, 14.0e-3  # m of depth that the tissue table covers
_ATTENUATION = 180.0  # 1/m, of the light in the tissue
_NOISE_FLOOR = 0.02
_TIP_ECHO = 0.8  # the fibre's own end face, always at the first points
# Echoing layers: depth [m], amplitude, half-width [m]; the first is the surface.
_LAYERS = (
    (0.0, 1.0, 25e-6),
    (0.9e-3, 0.35, 40e-6),
    (1.6e-3, 0.5, 30e-6),
    (4.8e-3, 0.55, 40e-6),
    (5.1e-3, 0.4, 60e-6),
)
_SPECKLE_LENGTH = 16411  # a prime, so that rolling by a fixed step visits every offset: 25 s
_SPECKLE_STEP = 1597


def _tissue_table() -> NDArray[np.float32]:
    depths = np.arange(_TABLE_START, _TABLE_END, POINT_SPACING)
    echo = np.where(depths > 0.0, 0.22, 0.0)
    for depth, amplitude, width in _LAYERS:
        echo += amplitude * np.exp(-(((depths - depth) / width) ** 2))
    echo *= np.exp(-_ATTENUATION * np.maximum(depths, 0.0))
    return echo.astype(np.float32)


def _speckle_table() -> NDArray[np.float32]:
    rolled = np.random.default_rng(9999).rayleigh(np.sqrt(2.0 / np.pi), _SPECKLE_LENGTH)
    partly_developed = (0.7 + 0.3 * rolled).astype(np.float32)
    return np.concatenate([partly_developed, partly_developed[:ASCAN_LENGTH]])


# Row i of each view is the A-scan-long window that starts at point i; nothing is copied here.
_TISSUE = sliding_window_view(_tissue_table(), ASCAN_LENGTH)
_SPECKLE = sliding_window_view(_speckle_table(), ASCAN_LENGTH)
_TIP = (_TIP_ECHO * np.exp(-((np.arange(ASCAN_LENGTH) / 4.0) ** 2))).astype(np.float32)


def ascans(depths: NDArray[np.float64], scan_numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """A-scans (n, 1025), linear amplitude in units of the surface's echo.

    ``depths`` (n,) [m] are those of the tip, ``scan_numbers`` (n,) choose the speckle. Depths
    beyond -9 to 6 mm are taken as those.
    """
    starts = np.rint((depths - _TABLE_START) / POINT_SPACING).astype(np.int64)
    scans = _TISSUE[np.clip(starts, 0, len(_TISSUE) - 1)]
    scans *= np.exp(_ATTENUATION * np.maximum(depths, 0.0)).astype(np.float32)[:, None]
    scans += _TIP + np.float32(_NOISE_FLOOR)
    scans *= _SPECKLE[scan_numbers * _SPECKLE_STEP % _SPECKLE_LENGTH]
    return scans


def oct_samples(times: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Force (n,) [N] and A-scans (n, 1025) at Unix times (n,) [s], always the same for a time."""
    depths = needle_depths(times)
    force = contact_forces(depths).astype(np.float32)
    return force, ascans(depths, np.rint(times * SENSOR_RATE).astype(np.int64))
