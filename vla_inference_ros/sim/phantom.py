"""The eye phantom as a still picture: a painted sphere in a holder, seen from a given direction.

Owns the phantom's geometry, its colours and the projection. Does not own the needle. Lengths are
in mm, in the robot's axes, from the eye's centre; the eye looks along +z. Colours are B, G, R.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

EYE_RADIUS = 12.0
_PLATE_Z = -3.0  # the eye sits in a hole of a plate at this height
_RING_RADIUS = 16.0
_LIGHT = np.array([-0.3, -0.2, 0.93])
_PUPIL, _IRIS = math.radians(12.0), math.radians(29.0)  # half-angles about the gaze


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """An orthographic camera: where it looks from, what is in its middle and how large it shows it.

    ``azimuth`` and ``elevation`` [deg] of the direction from the eye to the camera; ``centre`` is
    the point [mm] in the picture's middle; ``span`` is the picture's height [mm].
    """

    azimuth: float
    elevation: float
    span: float
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axes(self) -> NDArray[np.float64]:
        """Rows (3, 3): the picture's right, its up, and towards the camera."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        toward = np.array(
            [
                math.cos(elevation) * math.cos(azimuth),
                math.cos(elevation) * math.sin(azimuth),
                math.sin(elevation),
            ]
        )
        right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        return np.stack([right, np.cross(toward, right), toward])

    def project(self, points: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """Pixel coordinates (..., 2), x right and y down, of points (..., 3) [mm]."""
        flat = (points - np.array(self.centre)) @ self.axes()[:2].T
        pixels: NDArray[np.float64] = flat * (height / self.span) * [1.0, -1.0]
        pixels += [width / 2, height / 2]
        return pixels


def paint_phantom(
    view: Viewpoint, width: int, height: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The picture (height, width, 3), 0..255, and each pixel's share of texture (height, width)."""
    axes = view.axes()
    middle = axes @ np.array(view.centre)
    scale = height / view.span
    x = ((np.arange(width) - width / 2) / scale + middle[0])[None, :]
    y = (-(np.arange(height) - height / 2) / scale + middle[1])[:, None]
    from_axis = x * x + y * y
    on_sphere = np.sqrt(np.maximum(EYE_RADIUS**2 - from_axis, 0.0))
    sphere = x[..., None] * axes[0] + y[..., None] * axes[1] + on_sphere[..., None] * axes[2]
    is_eye = (from_axis < EYE_RADIUS**2) & (sphere[..., 2] > _PLATE_Z)

    flat = x[..., None] * axes[0] + y[..., None] * axes[1]
    plate = flat + ((_PLATE_Z - flat[..., 2]) / axes[2][2])[..., None] * axes[2]
    picture = _plate_colours(plate[..., 0], plate[..., 1])
    picture[is_eye] = _eye_colours(
        sphere[is_eye] / EYE_RADIUS, axes[2], np.random.default_rng(seed)
    )
    _draw_vessels(picture, view, np.random.default_rng(3))
    texture = np.where(is_eye, 0.45, 1.0)
    softened = cv2.GaussianBlur(picture, (0, 0), 0.7)
    return np.asarray(softened, np.float32), texture.astype(np.float32)


def _plate_colours(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    weave = 7.0 * np.sin(x * 9.0) * np.sin(y * 9.0) + 5.0 * np.sin((x + y) * 0.55)
    drape = np.array([138.0, 122.0, 52.0]) + weave[..., None]
    ring = np.full((*radius.shape, 3), (196.0, 198.0, 200.0))
    tick = (np.abs(np.sin(angle * 12.0)) < 0.09) & (radius > _RING_RADIUS - 2.0)
    ring[tick & (radius < _RING_RADIUS - 0.6)] = (70.0, 70.0, 70.0)
    colours = np.where((radius < _RING_RADIUS)[..., None], ring, drape)
    # Darker close to the eye and just outside the ring's edge, as the light reaches in less there.
    near_eye = 0.55 * np.exp(-np.maximum(radius - 11.6, 0.0) / 1.1)
    near_ring = np.where(radius >= _RING_RADIUS, 0.5 * np.exp(-(radius - _RING_RADIUS) / 1.3), 0.0)
    edge = np.clip((radius - 26.0) / 40.0, 0.0, 0.45)
    shaded: NDArray[np.float64] = (
        colours * (1.0 - np.maximum(near_eye, near_ring) - edge)[..., None]
    )
    return shaded


def _eye_colours(
    normal: NDArray[np.float64], toward: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    off_gaze = np.arccos(np.clip(normal[..., 2], -1.0, 1.0))[..., None]
    around = np.arctan2(normal[..., 1], normal[..., 0])
    streaks = sum(
        rng.uniform(4.0, 9.0) * np.sin(around * n + rng.uniform(0.0, 6.3)) for n in (17, 29, 43, 61)
    )
    sclera = np.array([236.0, 238.0, 244.0]) - off_gaze * np.array([30.0, 27.0, 12.0])
    iris = np.array([150.0, 104.0, 62.0]) + np.asarray(streaks)[..., None]
    iris = iris * (1.15 - 0.55 * np.abs(off_gaze / _IRIS - 0.72) / 0.28)
    limbus = np.clip((off_gaze - _IRIS) / 0.05, 0.0, 1.0)
    pupil = np.clip((off_gaze - _PUPIL) / 0.025, 0.0, 1.0)
    colours = (
        pupil * ((1.0 - limbus) * np.maximum(iris, 24.0) + limbus * sclera) + (1 - pupil) * 14.0
    )
    light = _LIGHT / np.linalg.norm(_LIGHT)
    halfway = (light + toward) / np.linalg.norm(light + toward)
    diffuse = 0.42 + 0.62 * np.clip(normal @ light, 0.0, 1.0)
    gloss = 190.0 * np.clip(normal @ halfway, 0.0, 1.0) ** 260
    shaded: NDArray[np.float64] = np.clip(colours * diffuse[..., None] + gloss[..., None], 0, 255)
    return shaded


def _draw_vessels(picture: NDArray[np.float64], view: Viewpoint, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    toward = view.axes()[2]
    for azimuth in np.linspace(0.0, 2 * np.pi, 22, endpoint=False) + rng.normal(0.0, 0.12, 22):
        polar = np.linspace(1.75, rng.uniform(0.72, 1.0), 40)
        wander = np.cumsum(rng.normal(0.0, 0.035, 40))
        bend = azimuth + np.convolve(wander, np.full(7, 1 / 7), mode="same")
        points = EYE_RADIUS * np.stack(
            [np.sin(polar) * np.cos(bend), np.sin(polar) * np.sin(bend), np.cos(polar)], axis=1
        )
        visible = (points @ toward > 1.0) & (points[:, 2] > _PLATE_Z)
        pixels = np.rint(view.project(points[visible], width, height) * 16).astype(np.int32)
        colour = (120.0, 115.0, 200.0)
        cv2.polylines(picture, [pixels], False, colour, 1, cv2.LINE_AA, shift=4)
