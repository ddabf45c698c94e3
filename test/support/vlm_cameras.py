"""A VLM with its views in all the forms that it takes, and the cameras that it hears."""

from __future__ import annotations

import time
from array import array
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np
from harness import Listener, NodeProcess, Parameter, running
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros.convert import header, seconds
from vla_inference_ros.msg import VLFeatures

VIEWS = ["View1", "View2", "View4"]
COMPRESSED = {"View1": "/rig/left/compressed", "View4": "/rig/right/compressed"}
RAW = {"View2": "/driver/color/image_raw", "View4": "/rig/right"}
PERIOD = 0.25  # [s]
BASE = float(int(time.time()) - 1000)  # when what these tests send was taken [Unix s]
ANY_AGE: dict[str, Parameter] = {"image_age_soft": 3600.0, "image_age_hard": 3600.0}
PHASE = PERIOD / 4 / 2  # of an update's tick, half an action period


def vlm(**parameters: Parameter) -> AbstractContextManager[NodeProcess]:
    """A VLM that takes one view compressed, one raw, and one both ways."""
    given: dict[str, Parameter] = {
        "model": "stub",
        "stub_vl_ms": 20.0,
        "dead_pictures": "warn",  # these tests send pictures again and again
        "action_rate": 4 / PERIOD,
        "vl_reuse": 4,
        "views": VIEWS,
        "compressed_topics": [COMPRESSED.get(view, "") for view in VIEWS],
        "raw_topics": [RAW.get(view, "") for view in VIEWS],
    }
    return running("vlm", **given | ANY_AGE | parameters)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def jpeg(seed: int) -> bytes:
    return cv2.imencode(".jpg", pixels(seed))[1].tobytes()


def raw_image(stamp: float, seed: int = 0, encoding: str = "bgr8", cut: int = 0) -> Image:
    data = pixels(seed).tobytes()
    return Image(
        header=header(stamp),
        width=64,
        height=48,
        step=3 * 64,
        encoding=encoding,
        data=array("B", data[: len(data) - cut]),
    )


@dataclass
class Cameras:
    """Any camera driver's publishers."""

    listener: Listener

    def compressed(self, view: str, stamp: float, data: bytes) -> None:
        image = CompressedImage(header=header(stamp), format="jpeg", data=array("B", data))
        self.listener.deliver(image, COMPRESSED[view])

    def raw(self, view: str, image: Image) -> None:
        self.listener.deliver(image, RAW[view])

    def all(self, stamp: float, seed: int = 0) -> None:
        """A good picture of every view, View1's the oldest, 1/64 s apart."""
        self.compressed("View1", stamp, jpeg(seed))
        self.raw("View2", raw_image(stamp + 1 / 64, seed + 1))
        self.compressed("View4", stamp + 2 / 64, jpeg(seed + 2))


def view_stamps(features: VLFeatures) -> list[float]:
    return [seconds(stamp) for stamp in features.view_stamps]
