"""Whether each sender is heard, often enough, with good packets that are fresh.

Owns the limits on what was heard, which follow from the age limits and windows that chunks are
judged by. Does not own how it was heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.doctor.heard import Heard, Trouble
from vla_inference_ros.doctor.result import Result, ok, problem, warning
from vla_inference_ros.model.interface import SENSOR_WINDOW

SENSOR_TOLERANCE = 0.05  # of the nominal rate; a window with less is not full
RATE_TOLERANCE = 0.1  # of a least rate, since a few seconds do not tell it exactly
_PICTURE = (640, 360)  # pixels that the model takes

_LIMITS = "look at the sender's device, unit and packet; if the numbers are right, raise"
_REMEDIES = {
    "wrong size": f"set the sender to A-scans of {ASCAN_LENGTH} points, 1 to 15 samples a datagram",
    "wrong count": "correct the count at the datagram's beginning, at the sender",
    "bad time": "set the clock of the sender's host (NTP); times are Unix seconds",
    "not finite": "look at the sender's device: it gives NaN or infinite values",
    "joint out of range": f"{_LIMITS} joint_minima and joint_maxima of robot_bridge",
    "pose out of range": f"{_LIMITS} position_limit of robot_bridge",
    "force out of range": f"{_LIMITS} force_limit of the bridge",
    "A-scan out of range": f"{_LIMITS} ascan_limit of sensor_bridge",
    "empty state": "look at the connection from the sender to the robot",
    "bad JSON": "send a header as README.md, Wire formats, has it",
    "bad JPEG": "look at the sender's encoder and its network",
    "JPEG too large": "send smaller pictures, or raise max_pixels of camera_bridge",
    "part count": "send two parts with send_multipart, as README.md, Wire formats, has it",
    "foreign source": "add the address to allowed_sources of sensor_bridge, or stop that sender",
}
_OTHER_REMEDY = "compare the sender with README.md, Wire formats"


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """Of an input [s]: chunks are DEGRADED over ``soft``, and there are none over ``hard``."""

    soft: float
    hard: float


def view(name: str, heard: Heard, limits: AgeLimits) -> Result:
    """A view's camera."""
    check = f"camera {name}"
    if not heard.packets:
        return problem(
            check,
            f"no picture in {heard.seconds:.1f} s",
            "start its sender, let it push to this host's camera_port, open the firewall for it; "
            "if it runs, see whether view_map knows its name",
        )
    told = f"{heard.rate:.1f} pictures/s"
    if heard.size:
        told += f" of {heard.size / 1e3:.0f} kB"
    if heard.width:
        told += f", {heard.width}x{heard.height}"
    if heard.sources:
        told += f", from {', '.join(heard.sources)}"
    values = {"rate_hz": heard.rate, "size_bytes": heard.size, "age_s": heard.age}
    if len(heard.sources) > 1:
        return problem(
            check,
            f"{told}: {len(heard.sources)} cameras are one view",
            "let view_map of camera_bridge tell them apart, or stop one",
            **values,
        )
    remedy = "raise the camera's rate; look at its network and its host's load"
    if finding := _too_slow_or_old(check, told, heard, limits, remedy, blocks=True):
        return finding
    if heard.width and (heard.width < _PICTURE[0] or heard.height < _PICTURE[1]):
        return warning(
            check,
            f"{told}: smaller than the {_PICTURE[0]}x{_PICTURE[1]} that the model takes",
            "set the camera to 1280x720",
            **values,
        )
    return ok(check, told, **values)


def camera_traffic(others: tuple[str, ...], refused: Heard) -> Result:
    """What belongs to no view."""
    check = "camera traffic"
    if refused.troubles:
        return _refused(check, "frame", refused)
    if others:
        return warning(
            check,
            f"not used, since no view's: {', '.join(others[:8])}",
            "if one should be a view, add it to view_map of camera_bridge",
        )
    return ok(check, "nothing refused, nothing unused")


def robot(heard: Heard, limits: AgeLimits, *, where: str, unreachable: str, needed: bool) -> Result:
    """The robot's host at ``where``; ``unreachable`` says why it cannot be connected to, ''."""
    check = "robot"
    if not heard.packets and heard.troubles:
        return _refused(check, "message", heard)
    if not heard.packets and unreachable:
        return problem(
            check,
            f"{where} cannot be reached: {unreachable}",
            "give robot_host:= and robot_port:= of the robot's host, start its sender there, open "
            "its firewall",
        )
    if not heard.packets:
        return problem(
            check,
            f"{where} can be reached, but nothing came in {heard.seconds:.1f} s",
            "start the robot's sender; if it runs, is robot_port its port, and do both use CURVE?",
        )
    told = f"{heard.rate:.1f} packets/s from {where}"
    remedy = "raise the sender's rate; look at the network and that host's load"
    if finding := _too_slow_or_old(check, told, heard, limits, remedy, blocks=needed):
        return finding
    if heard.troubles:
        return _refused(check, "message", heard)
    return ok(check, told, rate_hz=heard.rate, size_bytes=heard.size, age_s=heard.age)


def sensor(heard: Heard, limits: AgeLimits, *, least_samples: int) -> Result:
    """The sensor's host; ``least_samples`` are those of a window without which no chunk is made."""
    check = "sensor"
    if not heard.packets and heard.troubles:
        return _refused(check, "datagram", heard)
    if not heard.packets:
        return problem(
            check,
            f"no datagram in {heard.seconds:.1f} s",
            "start the sensor's sender, let it send to this host's sensor_port (UDP), open the "
            "firewall: 'tcpdump -n udp port 9999' shows what comes",
        )
    told = f"{heard.rate:.0f} samples/s"
    if heard.size:
        told += f" in datagrams of {heard.size / 1e3:.1f} kB"
    if heard.sources:
        told += f", from {', '.join(heard.sources)}"
    values = {"rate_hz": heard.rate, "size_bytes": heard.size, "age_s": heard.age}
    if len(heard.sources) > 1:
        return problem(check, f"{told}: two hosts send", "stop one, or set allowed_sources")
    remedy = f"set the sender to {SENSOR_RATE:g} samples/s; look at the network (wired?)"
    least = SENSOR_RATE * least_samples / SENSOR_WINDOW
    if heard.rate < least:
        return problem(
            check, f"{told}, too few for a chunk, which takes {least:.0f}", remedy, **values
        )
    if abs(heard.rate - SENSOR_RATE) > SENSOR_TOLERANCE * SENSOR_RATE:
        return warning(check, f"{told}, not {SENSOR_RATE:g}", remedy, **values)
    if finding := _too_old(check, told, heard, limits, blocks=True):
        return finding
    if heard.troubles:
        return _refused(check, "datagram", heard)
    return ok(check, told, **values)


def _too_slow_or_old(
    check: str, told: str, heard: Heard, limits: AgeLimits, remedy: str, *, blocks: bool
) -> Result | None:
    """An input that comes more rarely than its age limit is too old just before the next one."""
    values = {"rate_hz": heard.rate, "size_bytes": heard.size, "age_s": heard.age}
    for limit, effect, bad in (
        (limits.hard, "there is no chunk", blocks),
        (limits.soft, "chunks are DEGRADED", False),
    ):
        least = 1 / limit
        if heard.rate < least * (1 - RATE_TOLERANCE):
            finding = f"{told}: under {least:g}/s {effect}"
            return (problem if bad else warning)(check, finding, remedy, **values)
    return _too_old(check, told, heard, limits, blocks=blocks)


def _too_old(
    check: str, told: str, heard: Heard, limits: AgeLimits, *, blocks: bool
) -> Result | None:
    if heard.age <= limits.soft:
        return None
    finding = f"{told}: {heard.age:.2f} s old when it comes, over {limits.soft:g} s"
    remedy = "look for a queue at the sender, and at its host's clock (clock_mode, NTP)"
    is_bad = blocks and heard.age > limits.hard
    return (problem if is_bad else warning)(check, finding, remedy, age_s=heard.age)


def _refused(check: str, what: str, heard: Heard) -> Result:
    """Of packets that were refused, the most frequent kind speaks for all."""
    worst: Trouble = max(heard.troubles, key=lambda trouble: trouble.count)
    bad = sum(trouble.count for trouble in heard.troubles)
    remedy = _REMEDIES.get(worst.kind, _OTHER_REMEDY)
    values = {"refused": bad, "accepted": heard.packets}
    if not heard.packets and check != "camera traffic":
        return problem(check, f"every {what} is refused: {worst.message}", remedy, **values)
    return warning(check, f"{bad} {what}(s) refused: {worst.message}", remedy, **values)
