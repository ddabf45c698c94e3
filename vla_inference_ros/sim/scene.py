"""The moving scene: pictures of a needle entering an eye phantom, one view each, as JPEG.

Owns what is drawn into each frame (needle, label, time) and the picture's format. Does not own the
needle's motion, the phantom's looks or the sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.sim.needle import needle_axis, needle_depth
from vla_inference_ros.sim.phantom import EYE_RADIUS, Viewpoint, paint_phantom

Image = NDArray[np.uint8]

# Where the rig's cameras look from; a sixth view would look from the first one's place again.
VIEWPOINTS = (
    Viewpoint(azimuth=-105.0, elevation=38.0, span=40.0, centre=(-5.0, 0.0, 4.5)),
    Viewpoint(azimuth=-60.0, elevation=50.0, span=38.0, centre=(-4.0, 0.0, 4.0)),
    Viewpoint(azimuth=60.0, elevation=46.0, span=38.0, centre=(-4.0, 0.0, 4.0)),
    Viewpoint(azimuth=110.0, elevation=36.0, span=40.0, centre=(-5.0, 0.0, 4.5)),
    Viewpoint(azimuth=-90.0, elevation=80.0, span=52.0, centre=(-5.0, 0.0, 2.0)),
)
_MAX_TEXTURE = 96.0  # grey levels
_TYPICAL_TEXTURE = 10.0  # what 150 kB at 1280x720 and quality 72 takes: tried first
# Share of a bar's width and its brightness: bars inside bars, so that a needle looks round.
_ROUNDNESS = ((1.0, 0.4), (0.9, 0.6), (0.76, 0.8), (0.58, 1.0), (0.38, 1.2), (0.18, 1.45))
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT = 4  # bits of a pixel's fraction, so that slow motion does not jump from pixel to pixel


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How pictures are made: size [pixels], JPEG quality and, for the scene, bytes of a JPEG.

    ``target_bytes`` None is 150 kB at 1280x720 and in proportion to the pixels otherwise, or as
    close to it as a small picture gets; 0 leaves the scene without texture.
    """

    width: int = 1280
    height: int = 720
    quality: int = 72
    target_bytes: int | None = None

    def encode(self, image: Image) -> bytes:
        """The JPEG of a B, G, R image, at the image's own size."""
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        if not done:
            raise ValueError(f"OpenCV cannot encode an image of shape {image.shape} as JPEG")
        return data.tobytes()


class Scene:
    """One view of the scene: the still part is painted once, a frame is a copy and a few shapes."""

    def __init__(self, label: str, view: int, picture: PictureFormat) -> None:
        """``label`` is drawn in; ``view`` (0 for View1) chooses where it is seen from.

        Raises ValueError if no amount of texture brings the JPEG within 15% of ``target_bytes``.
        """
        self._label = label
        self._format = picture
        self._viewpoint = VIEWPOINTS[view % len(VIEWPOINTS)]
        self._unit = picture.height / 720.0
        # Where the needle meets the eye [pixels], and how far on it is after 1 mm.
        on_axis = np.outer([-EYE_RADIUS, 1.0 - EYE_RADIUS], needle_axis())
        at_eye, after_1_mm = self._viewpoint.project(on_axis, picture.width, picture.height)
        self._entry: NDArray[np.float64] = at_eye
        self._per_mm: NDArray[np.float64] = after_1_mm - at_eye
        painted, weight = paint_phantom(self._viewpoint, picture.width, picture.height, seed=view)
        self._background: Image = painted.clip(0, 255).astype(np.uint8)
        target = picture.target_bytes
        if target is None:
            target = 150_000 * picture.width * picture.height // (1280 * 720)
        if target:
            self._add_texture(painted, weight, target, np.random.default_rng(view))

    def jpeg(self, t: float) -> bytes:
        """The frame at Unix time ``t`` [s]."""
        return self._format.encode(self.image(t))

    def close(self) -> None:
        """Nothing to release."""

    def image(self, t: float) -> Image:
        """The frame (height, width, 3), B, G, R, at Unix time ``t`` [s]."""
        image: Image = self._background.copy()
        depth = needle_depth(t)
        self._draw_needle(image, depth * 1e3)
        height, width = image.shape[:2]
        clock = datetime.fromtimestamp(t, timezone.utc).isoformat(" ", "milliseconds")
        self._write(image, self._label, (20, 44))
        self._write(image, clock.removesuffix("+00:00") + " UTC", (20, height / self._unit - 22))
        corner = (width / self._unit - 310, height / self._unit - 22)
        self._write(image, f"depth {depth * 1e3:+.2f} mm", corner)
        return image

    def _add_texture(
        self,
        painted: NDArray[np.float32],
        weight: NDArray[np.float32],
        target: int,
        rng: np.random.Generator,
    ) -> None:
        fine = rng.standard_normal(weight.shape, np.float32)
        grain = weight * (cv2.GaussianBlur(fine, (0, 0), 1.0) * 3.0 + fine * 0.3)
        low, high, size = 0.0, _MAX_TEXTURE, 0
        amplitude = _TYPICAL_TEXTURE
        for _ in range(10):
            self._background = (
                (painted + amplitude * grain[..., None]).clip(0, 255).astype(np.uint8)
            )
            size = len(self.jpeg(0.0))
            if abs(size - target) <= 0.03 * target:
                return
            low, high = (amplitude, high) if size < target else (low, amplitude)
            amplitude = (low + high) / 2
        if self._format.target_bytes is not None and abs(size - target) > 0.15 * target:
            raise ValueError(
                f"target_bytes {target} is out of reach for {self._format.width}x"
                f"{self._format.height} at quality {self._format.quality}, which gives {size}: "
                "choose another target, size or quality"
            )

    def _draw_needle(self, image: Image, depth: float) -> None:
        def pixel(along: float) -> NDArray[np.float64]:
            return self._entry + along * self._per_mm

        pixels_per_mm = self._format.height / self._viewpoint.span
        if depth > 0.0:  # the phantom's wall lets the needle show through, dimly
            _bar(image, pixel(0.0), pixel(depth), 0.7 * pixels_per_mm, (120, 128, 150))
            _disc(image, pixel(depth), 0.35 * pixels_per_mm, (60, 60, 190))
            _disc(image, pixel(0.0), 0.62 * pixels_per_mm, (70, 60, 150))
        tip = min(depth, 0.0)
        for start, end, thickness, colour in (
            (tip, depth - 16.0, 0.7, (178, 174, 170)),
            (depth - 15.0, depth - 20.0, 2.4, (40, 132, 232)),
            (depth - 20.0, depth - 24.0, 4.2, (40, 132, 232)),
            (depth - 24.0, depth - 130.0, 6.5, (112, 104, 98)),
        ):
            for share, light in _ROUNDNESS:
                lit = tuple(min(255, round(c * light)) for c in colour)
                _bar(image, pixel(start), pixel(end), thickness * pixels_per_mm * share, lit)

    def _write(self, image: Image, text: str, at: tuple[float, float]) -> None:
        origin = (round(at[0] * self._unit), round(at[1] * self._unit))
        size, thickness = 1.0 * self._unit, max(1, round(2 * self._unit))
        cv2.putText(image, text, origin, _FONT, size, (20, 20, 20), 3 * thickness, cv2.LINE_AA)
        cv2.putText(image, text, origin, _FONT, size, (245, 245, 245), thickness, cv2.LINE_AA)


def _bar(
    image: Image,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    thickness: float,
    colour: tuple[int, ...],
) -> None:
    along = end - start
    side = np.array([-along[1], along[0]]) * (0.5 * thickness / max(float(np.hypot(*along)), 1e-9))
    corners = np.stack([start + side, end + side, end - side, start - side])
    pixels = np.rint(corners * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(image, pixels, colour, cv2.LINE_AA, _SHIFT)


def _disc(
    image: Image, centre: NDArray[np.float64], radius: float, colour: tuple[int, ...]
) -> None:
    x, y = (round(float(c) * (1 << _SHIFT)) for c in centre)
    cv2.circle(image, (x, y), round(radius * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)
