"""The wire formats of the three senders: dataclasses, ``pack`` and ``unpack`` beside each other.

Owns the byte layouts and the rules a packet must meet. Does not own sockets, clocks or messages.
All integers and floats are little-endian without padding; times are Unix seconds on the sender's
clock; lengths and angles are as sent (mm, deg). Every ``unpack`` raises :class:`WireError`.
"""

from __future__ import annotations

import json
import math
import reprlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.jpeg import JpegError, jpeg_size

CAMERA_PORT = 5555
ROBOT_PORT = 5556
SENSOR_PORT = 9999
ROBOT_TOPIC = b"robot_state"
SENSOR_RATE = 650.0  # samples/s, nominal
ASCAN_LENGTH = 1025  # points of one OCT A-scan
SENSOR_CHANNELS = 1 + ASCAN_LENGTH  # force, then the A-scan
MAX_SAMPLES_PER_DATAGRAM = 15  # what fits into one UDP datagram
# 2000-01-01 to 2038-01-19, where ROS time ends (int32 seconds): a time outside is not a Unix time
# in seconds (milliseconds, uptime).
EARLIEST_TIME, LATEST_TIME = 946_684_800.0, 2_147_483_647.0
MAX_HEADER_BYTES = 65536  # of a camera message's JSON
# How long before and after its acquisition a thing can be sent, by a clock that is read twice [s].
MOST_EARLY, MOST_LATE = 0.1, 60.0

_SAMPLE = np.dtype(
    [("time", "<f8"), ("send_time", "<f8"), ("force", "<f4"), ("ascan", "<f4", (ASCAN_LENGTH,))]
)
_COUNT = struct.Struct("<I")
_ROBOT = struct.Struct("<ddf12f")


class WireError(ValueError):
    """A packet that breaks its format. ``kind`` is the short name that it is counted under,
    ``camera`` the camera that it is from, "" if it is from none or does not say.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.camera = ""


def _check_name(camera: str) -> None:
    """JSON can hold half a character, and a NUL, at which others would take the name to end."""
    try:
        is_text = b"\0" not in camera.encode()
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise WireError(
            "bad JSON",
            f"the camera's name {reprlib.repr(camera)} has a character that no text may have (a "
            "lone surrogate, or NUL): does the sender cut or join its name bytewise?",
        )


def _check_time(name: str, value: float) -> float:
    if not EARLIEST_TIME <= value <= LATEST_TIME:  # also refuses NaN
        raise WireError(
            "bad time", f"{name} {value!r} is not a Unix time in seconds: check the sender's clock"
        )
    return value


def _check_age(what: str, age: float) -> None:
    """``age`` is the time from acquisition to sending [s]."""
    if not -MOST_EARLY <= age <= MOST_LATE:
        raise WireError(
            "bad time",
            f"{what} was sent {abs(age):.6g} s {'before' if age < 0 else 'after'} its acquisition: "
            f"is one of the sender's two clocks wrong? (limits: {MOST_EARLY:g} s before, "
            f"{MOST_LATE:g} s after)",
        )


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One camera frame: a ZMQ message of JSON header and JPEG; further parts are ignored.

    ``timestamp`` is the acquisition time and ``send_time`` (optional on the wire) the time of
    sending, both in seconds on the sender's clock. ``width`` and ``height`` [pixels] are read from
    the JPEG's own header, with which the sender's must agree, if it says them; the JPEG is not
    decoded.
    """

    camera: str
    timestamp: float
    jpeg: bytes
    width: int
    height: int
    send_time: float | None = None

    def pack(self) -> list[bytes]:
        """The message parts, as a sender sends them."""
        header: dict[str, object] = {
            "camera": self.camera,
            "timestamp": self.timestamp,
            "size": len(self.jpeg),
        }
        if self.send_time is not None:
            header["send_time"] = self.send_time
        return [json.dumps(header).encode(), self.jpeg]

    @classmethod
    def unpack(cls, parts: Sequence[bytes], max_pixels: int) -> CameraFrame:
        """Read one multipart message; a JPEG of more than ``max_pixels`` is refused undecoded."""
        if len(parts) < 2:
            raise WireError(
                "part count",
                f"camera message has {len(parts)} part(s), not 2 (JSON header, JPEG): "
                "does the sender use send_multipart?",
            )
        if len(parts[0]) > MAX_HEADER_BYTES:
            raise WireError(
                "header too large",
                f"camera header is {len(parts[0])} bytes, over {MAX_HEADER_BYTES}: are the parts "
                "JSON header and JPEG, in that order?",
            )
        try:
            header = json.loads(parts[0])
        except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, nested too deep
            raise WireError("bad JSON", f"camera header is not UTF-8 JSON: {error}") from error
        if not isinstance(header, dict) or not isinstance(header.get("camera"), str):
            raise WireError("bad JSON", f"camera header lacks a 'camera' name: {parts[0][:200]!r}")
        _check_name(header["camera"])
        try:
            return cls._from(header, parts[1], max_pixels)
        except WireError as error:
            error.camera = header["camera"]
            raise

    @classmethod
    def _from(cls, header: Mapping[str, Any], jpeg: bytes, max_pixels: int) -> CameraFrame:
        name = reprlib.repr(header["camera"])
        try:
            width, height = jpeg_size(jpeg)
        except JpegError as error:
            raise WireError("bad JPEG", f"frame of {name}: {error}") from error
        _check_side(f"frame of {name}", header, "width", width)
        _check_side(f"frame of {name}", header, "height", height)
        if width * height > max_pixels:
            raise WireError(
                "JPEG too large",
                f"frame of {name} is {width}x{height}, over the limit of {max_pixels} pixels: "
                "raise max_pixels if the camera really is that large",
            )
        timestamp = _check_time("camera timestamp", _number(header, "timestamp"))
        send_time = None
        if header.get("send_time") is not None:
            send_time = _check_time("camera send_time", _number(header, "send_time"))
            _check_age(f"frame of {name}", send_time - timestamp)
        return cls(header["camera"], timestamp, jpeg, width, height, send_time)


def _number(header: Mapping[str, object], key: str) -> float:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError(
            "bad JSON", f"camera header's {key!r} is {reprlib.repr(value)}, not a number"
        )
    try:
        return float(value)
    except OverflowError:  # an integer beyond every float
        return math.inf


def _check_side(what: str, header: Mapping[str, object], side: str, pixels: int) -> None:
    """``pixels`` are the JPEG's. A JPEG of other sides and as many blocks is decoded all the same,
    with each row of blocks in the wrong place.
    """
    if header.get(side) is not None and _number(header, side) != pixels:
        raise WireError(
            "bad JPEG",
            f"{what}: its JPEG's {side} is {pixels}, but the camera header says "
            f"{reprlib.repr(header[side])}: damaged on the way, or does the sender tell the size "
            "before it scales?",
        )


@dataclass(frozen=True, slots=True)
class RobotPacket:
    """One robot state: a ZMQ message of two parts, topic ``robot_state`` and 68 bytes ``<ddf12f``.

    ``joints`` are six angles [deg]; ``pose`` is x, y, z [mm] and alpha, beta, gamma [deg], mobile
    XYZ Euler angles; ``force`` [N].
    """

    SIZE: ClassVar[int] = _ROBOT.size

    origin_time: float
    send_time: float
    force: float
    joints: tuple[float, ...]
    pose: tuple[float, ...]

    def pack(self) -> list[bytes]:
        """The message parts, as the robot's host sends them."""
        payload = _ROBOT.pack(
            self.origin_time, self.send_time, self.force, *self.joints, *self.pose
        )
        return [ROBOT_TOPIC, payload]

    @classmethod
    def unpack(cls, parts: Sequence[bytes]) -> RobotPacket:
        """Read one multipart message."""
        if len(parts) != 2:
            raise WireError(
                "part count", f"robot message has {len(parts)} part(s), not 2 (topic, payload)"
            )
        if parts[0] != ROBOT_TOPIC:
            raise WireError(
                "unknown topic", f"robot message has topic {parts[0][:40]!r}, not {ROBOT_TOPIC!r}"
            )
        if len(parts[1]) != _ROBOT.size:
            raise WireError(
                "wrong size",
                f"robot payload is {len(parts[1])} bytes, not {_ROBOT.size} (<ddf12f): "
                "does the sender run the same packet version?",
            )
        values = _ROBOT.unpack(parts[1])
        if not all(map(math.isfinite, values[2:])):
            raise WireError("not finite", f"robot payload has NaN or infinite values: {values[2:]}")
        origin_time = _check_time("robot origin time", values[0])
        send_time = _check_time("robot send time", values[1])
        _check_age("robot state", send_time - origin_time)
        return cls(
            origin_time=origin_time,
            send_time=send_time,
            force=values[2],
            joints=values[3:9],
            pose=values[9:15],
        )


@dataclass(frozen=True, slots=True, eq=False)
class SensorDatagram:
    """One UDP datagram of n sensor samples, oldest first: ``<I`` n, then n times ``<ddf1025f``.

    Arrays are read-only and share the datagram's memory: ``times``, ``send_times`` (n,) float64
    [s], ``force`` (n,) float32 [N], ``ascan`` (n, 1025) float32 (an OCT A-scan a row, sender's
    units).
    """

    SAMPLE_SIZE: ClassVar[int] = _SAMPLE.itemsize

    times: NDArray[np.float64]
    send_times: NDArray[np.float64]
    force: NDArray[np.float32]
    ascan: NDArray[np.float32]

    def pack(self) -> bytes:
        """The datagram, as the sensor's host sends it."""
        samples = np.empty(len(self.times), _SAMPLE)
        samples["time"], samples["send_time"] = self.times, self.send_times
        samples["force"], samples["ascan"] = self.force, self.ascan
        return _COUNT.pack(len(samples)) + samples.tobytes()

    @classmethod
    def unpack(cls, datagram: bytes) -> SensorDatagram:
        """Read one datagram; all its samples are good or it is refused whole."""
        size = len(datagram)
        if size > _COUNT.size + cls.SAMPLE_SIZE * MAX_SAMPLES_PER_DATAGRAM:
            raise WireError(
                "wrong size",
                f"sensor datagram is {size} bytes, more than {MAX_SAMPLES_PER_DATAGRAM} samples: "
                "does something else send to this port?",
            )
        if size < _COUNT.size + cls.SAMPLE_SIZE or (size - _COUNT.size) % cls.SAMPLE_SIZE:
            raise WireError(
                "wrong size",
                f"sensor datagram is {size} bytes, not {_COUNT.size} + {cls.SAMPLE_SIZE} n: "
                f"is the sender's A-scan length {ASCAN_LENGTH}?",
            )
        (count,) = _COUNT.unpack_from(datagram)
        if count != (size - _COUNT.size) // cls.SAMPLE_SIZE:
            raise WireError(
                "wrong count",
                f"sensor datagram of {size} bytes says {count} samples, but holds "
                f"{(size - _COUNT.size) // cls.SAMPLE_SIZE}",
            )
        samples = np.frombuffer(datagram, _SAMPLE, offset=_COUNT.size)
        if not (np.isfinite(samples["force"]).all() and np.isfinite(samples["ascan"]).all()):
            raise WireError("not finite", "sensor datagram has NaN or infinite values")
        for name in ("time", "send_time"):
            for value in samples[name]:
                _check_time(f"sensor {name}", float(value))
        ages = samples["send_time"] - samples["time"]
        for age in (ages.min(), ages.max()):
            _check_age("sensor sample", float(age))
        if (samples["time"][1:] < samples["time"][:-1]).any():
            raise WireError(
                "bad time",
                "times must not decrease within a datagram: was the sender's clock set, or are "
                "its samples out of order?",
            )
        return cls(samples["time"], samples["send_time"], samples["force"], samples["ascan"])
