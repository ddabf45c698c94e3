"""``vla-resend RECORDING``: sends what the rig's senders had sent once more, over the same wire."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import split
from vla_inference_ros.core.curve import (
    ClientKeys,
    CurveError,
    ServerKeys,
    check_clients,
    read_pair,
    read_public,
)
from vla_inference_ros.core.number_text import number_or_nan
from vla_inference_ros.core.read_ahead import read_ahead
from vla_inference_ros.core.wire import CAMERA_PORT, ROBOT_PORT, SENSOR_PORT
from vla_inference_ros.recording.ending import failed, tell_left_out
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.resend.outlets import (
    CameraOutlet,
    Outlet,
    OutletError,
    RobotOutlet,
    SensorOutlet,
)
from vla_inference_ros.resend.sending import STREAMS, Sending, Tagged, merged, recorded_streams

_SLOWEST = 0.001  # rate
_READ_AHEAD = 64  # packets of all streams, 10 MB at most


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    arguments = _arguments(given)
    try:
        _resend(arguments)
    except (RecordingError, OutletError, CurveError, OSError, MemoryError) as error:
        return failed("vla-resend", error)
    except KeyboardInterrupt:
        print("vla-resend: stopped", file=sys.stderr)
        return 130
    return 0


def _resend(arguments: argparse.Namespace) -> None:
    recording = open_recording(arguments.recording, arguments.strict)
    streams = recorded_streams(recording, arguments.streams)
    if not streams:
        raise RecordingError(
            f"{arguments.recording} holds no {', '.join(arguments.streams)} packets to send"
        )
    for name in arguments.streams:
        if name not in streams:
            print(f"vla-resend: no {name} {STREAMS[name]} were recorded", file=sys.stderr)
    outlets: dict[str, Outlet] = {}
    at_once = True
    try:
        for name in streams:
            outlets[name] = _outlet(name, arguments)
        _await_receivers(outlets, arguments.wait)
        with read_ahead(merged(recording, streams), _READ_AHEAD) as packets:
            _send_all(Sending(outlets, arguments.rate, arguments.restamp), packets)
        at_once = False
    finally:
        with ExitStack() as stack:
            for outlet in outlets.values():
                stack.callback(outlet.close, at_once)
    tell_left_out("vla-resend", recording)


def _send_all(sending: Sending, packets: Iterable[Tagged]) -> None:
    """Send with a progress bar, and say in the end what was sent, or until it failed."""
    began = time.monotonic()
    try:
        with tqdm(desc="sent", unit=" packets", disable=None) as bar:
            for progress in sending.run(packets):
                bar.set_postfix_str(f"{progress:.1f} s", refresh=False)
                bar.update()
    finally:
        print(f"sent in {time.monotonic() - began:.1f} s:")
        for name, sent in sending.sent.items():
            late = f", at most {sent.late * 1e3:.1f} ms late" if sending.rate else ""
            print(f"  {name}: {sent.packets} {STREAMS[name]}, {sent.size / 1e6:.1f} MB{late}")
        sys.stdout.flush()


def _await_receivers(outlets: dict[str, Outlet], patience: float) -> None:
    print(f"waiting for the receivers of {', '.join(outlets)} ...", flush=True)
    deadline = time.monotonic() + patience
    missing = [
        outlet.await_receiver(max(0.0, deadline - time.monotonic())) for outlet in outlets.values()
    ]
    if any(missing):
        raise OutletError(
            f"{'; '.join(filter(None, missing))} (waited {patience:g} s): start the bridges first, "
            "or leave a stream out with --streams"
        )


def _outlet(name: str, arguments: argparse.Namespace) -> Outlet:
    if name == "camera":
        return CameraOutlet(arguments.camera, _camera_keys(arguments))
    if name == "robot":
        return RobotOutlet(arguments.robot, _robot_keys(arguments))
    host, port = arguments.sensor
    return SensorOutlet(host, port, in_step=arguments.rate == 0.0)


def _camera_keys(arguments: argparse.Namespace) -> ClientKeys | None:
    if arguments.curve_camera is None:
        return None
    return ClientKeys(read_pair(arguments.curve_camera), read_public(arguments.curve_bridge))


def _robot_keys(arguments: argparse.Namespace) -> ServerKeys | None:
    if arguments.curve_robot is None:
        return None
    if arguments.curve_clients is not None:
        check_clients(arguments.curve_clients)
    return ServerKeys(read_pair(arguments.curve_robot), arguments.curve_clients)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vla-resend", description=__doc__)
    add = parser.add_argument
    add("recording", type=Path, metavar="RECORDING", help="a bag or a run folder")
    add(
        "--camera",
        type=_endpoint,
        metavar="tcp://HOST:PORT",
        default=f"tcp://127.0.0.1:{CAMERA_PORT}",
        help="where the camera bridge listens (default: %(default)s)",
    )
    add(
        "--robot",
        type=_endpoint,
        metavar="tcp://HOST:PORT",
        default=f"tcp://*:{ROBOT_PORT}",
        help="where to listen for the robot bridge (default: %(default)s)",
    )
    add(
        "--sensor",
        type=_address,
        default=("127.0.0.1", SENSOR_PORT),
        metavar="HOST:PORT",
        help=f"where the sensor bridge listens by UDP (default: 127.0.0.1:{SENSOR_PORT})",
    )
    add(
        "--streams",
        type=_streams,
        default=list(STREAMS),
        help=f"what to send (default: {','.join(STREAMS)})",
    )
    add(
        "--rate",
        type=_rate,
        default=1.0,
        help="how many times as fast as it was received; 0: as fast as it is taken",
    )
    add(
        "--restamp",
        action="store_true",
        help="move the packets' times, so that they are as old as they were when received",
    )
    add("--strict", action="store_true", help="stop at what is else left out as odd")
    add(
        "--wait",
        type=_not_negative,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for the receivers at the start (default: 10)",
    )
    secret = "secret certificate (*.key_secret) of the %s host, for CURVE"
    add("--curve-camera", type=Path, metavar="FILE", help=secret % "cameras'")
    add("--curve-bridge", type=Path, metavar="FILE", help="the camera bridge's public one (*.key)")
    add("--curve-robot", type=Path, metavar="FILE", help=secret % "robot's")
    add(
        "--curve-clients",
        type=Path,
        metavar="FOLDER",
        help="public certificates of those who may listen to the robot (default: anybody's)",
    )
    arguments = parser.parse_args(given)
    if (arguments.curve_camera is None) != (arguments.curve_bridge is None):
        parser.error("--curve-camera and --curve-bridge go together")
    if arguments.curve_clients is not None and arguments.curve_robot is None:
        parser.error("--curve-clients needs --curve-robot")
    return arguments


def _endpoint(text: str) -> str:
    try:
        zmq_address.host_and_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _address(text: str) -> tuple[str, int]:
    try:
        return split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _streams(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if not set(names) <= set(STREAMS):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of {', '.join(STREAMS)}, with commas between"
        )
    return names


def _rate(text: str) -> float:
    value = _not_negative(text)
    if 0.0 < value < _SLOWEST:
        raise argparse.ArgumentTypeError(f"{text} is neither 0 nor a rate from {_SLOWEST}")
    return value


def _not_negative(text: str) -> float:
    value = number_or_nan(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
