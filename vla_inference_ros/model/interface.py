"""The two protocols that the nodes know a model by, and what goes in and comes out.

``tiny``, ``stub`` and every other model are only implementations; no node asks which one it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

VIEWS = ("View1", "View2", "View3", "View4", "View5")  # in the order the model takes them
DEFAULT_INSTRUCTION = "Perform needle insertion into the eye"
HORIZON = 8  # steps of an action chunk
ACTION_NAMES = ("joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "gripper")
SENSOR_WINDOW = 65  # samples, 0.1 s at 650 Hz
MIN_SAMPLES = 33  # half a window: with fewer no chunk is computed


class ModelError(Exception):
    """A model cannot be loaded or run; the message says why and what to do."""


class FrameError(ModelError):
    """One view's picture cannot be decoded. ``view`` is its name."""

    def __init__(self, view: str, message: str) -> None:
        super().__init__(message)
        self.view = view


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The newest picture of one view.

    ``picture`` is either the JPEG (or PNG) as received, or decoded pixels (H, W, 3) uint8 RGB.
    ``stamp`` is its acquisition time in this host's clock [Unix s].
    """

    name: str
    stamp: float
    picture: bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class ActionSteps:
    """An action chunk: ``actions`` and ``delta``, both (horizon, action_dim) float32."""

    actions: NDArray[np.float32]
    delta: NDArray[np.float32]


class FeatureModel(Protocol):
    """Turns the views and an instruction into vision-language features."""

    @property
    def model_id(self) -> str:
        """Which model and weights these are, for messages and logs."""

    @property
    def decode_time(self) -> float:
        """How long the last update waited for its pictures to be decoded [s]."""

    def features(self, views: Sequence[View], instruction: str) -> NDArray[np.float32]:
        """(1, S, V) float32 from the views in view order. Raises :class:`FrameError`."""


class ActionModel(Protocol):
    """Turns features and a sensor window into an action chunk."""

    @property
    def model_id(self) -> str:
        """Which model and weights these are, for messages and logs."""

    @property
    def feature_size(self) -> int:
        """V, the last axis of the features it takes."""

    def act(self, features: NDArray[np.float32], window: NDArray[np.float32]) -> ActionSteps:
        """One chunk from features (1, S, V) and a sensor window (T, C), both float32.

        Row T-1 is the newest sample; column 0 is the force [N], the rest is the A-scan.
        """
