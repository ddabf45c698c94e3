"""The faults that the bench does, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marks import VIEW_OF
from run_changes import FolderGone, SaidOnce
from second_publishers import OTHER_WEIGHTS, SECOND_PUBLISHERS
from strangers import (
    REPORTERS,
    Stranger,
    invented_reporters,
    odd_cameras,
    second_camera,
    second_sensor,
)

from vla_inference_ros.sim.faults import Faults
from vla_inference_ros.sim.spoilt import OWN

_ONE = "41182735"  # the serial number of View1's camera


_DAMAGED = {
    "body zeroed": "zeroed",
    "body cut": "cut",
    "end marker only": "emptied",
    "5000 scans": "endless",
}
_DEAD = {
    "frozen, with a counter": "frozen",
    "two old pictures": "ring",
    "twelve old pictures": "loop",
    "lens covered": "blank",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table: what each of the proxies is to do, and who else sends meanwhile, which
    the verdict may lay at the door of the streams that are ``blamed``. The node that is ``absent``
    stands still, while what is sent to it waits, and is killed in the end.
    """

    name: str
    faults: dict[str, Faults]
    stranger: Stranger | None = None
    blamed: frozenset[str] = frozenset()
    absent: str = ""

    @property
    def streams(self) -> set[str]:
        """Those that a verdict may name for it; "camera" is for messages that name no camera."""
        if self.stranger is not None or self.absent:
            return set(self.blamed)
        named = [suffering(stream, each.only) for stream, each in self.faults.items()]
        return {stream for names in named for stream in names} | self.faults.keys()

    @property
    def is_dead(self) -> bool:
        """Whether an input is dead though its stamps go on, or its stamps make no sense: no chunk
        may be OK for long.
        """
        return any(
            each.content != OWN or each.clock_jitter or (each.frozen and not each.frozen_stamps)
            for each in self.faults.values()
        )

    @property
    def is_seen(self) -> bool:
        """Whether it does anything that a verdict can tell: drift is followed, and no fault."""
        if self.stranger is not None or self.absent:
            return bool(self.blamed)
        return bool(self.faults) and not any(each.clock_drift for each in self.faults.values())


def cases() -> list[Case]:
    """All of them, in the order of the table."""
    found = [Case("none", {})]
    # How long a delay is well within the stream's budget, and how long is beyond its hard limit.
    for label, stream, only, within, beyond in (
        ("all cameras", "camera", "", 0.1, 1.5),
        ("one camera", "camera", _ONE, 0.1, 1.5),
        ("robot", "robot", "", 0.05, 0.8),
        ("sensor", "sensor", "", 0.05, 0.5),
    ):
        effects: dict[str, dict[str, Any]] = {
            f"delay {within:g} s": {"delay": within},
            f"delay {beyond:g} s": {"delay": beyond},
            "loss 20 %": {"loss": 0.2},
            "loss 100 %": {"loss": 1.0},
            "corrupt 100 %": {"corrupt": 1.0},
            "clock +1.5 s": {"clock_step": 1.5},
            "clock -2 s": {"clock_step": -2.0},
            "clock jumps about by 1 s": {"clock_jitter": 1.0},
            "frozen, stamps too": {"frozen": True},
        }
        if stream == "camera":
            effects["frozen, stamps run"] = {"frozen": True, "frozen_stamps": False}
            effects |= {what: {"content": content} for what, content in _DAMAGED.items()}
        if stream == "camera" and only:
            effects |= {what: {"content": content} for what, content in _DEAD.items()}
        if not only:  # what one camera would show no better than all do
            effects |= {
                f"jitter {within:g} s": {"jitter": within},
                "reorder 5 %": {"reorder": 0.05},
                "duplicate 5 %": {"duplicate": 0.05},
                "corrupt 10 %": {"corrupt": 0.1},
                "clock drift 50 ppm": {"clock_drift": 50.0},
                "delay 2.5 s": {"delay": 2.5},
            }
        for effect, values in effects.items():
            found.append(Case(f"{label}: {effect}", {stream: Faults(only=only, **values)}))
    found.append(Case("all cameras: one picture", {"camera": Faults(content="twin")}))
    found.append(Case("sensor: constant", {"sensor": Faults(content="constant")}))
    mixed = Faults(loss=0.2, reorder=0.05, duplicate=0.05)
    name = "loss 20 %, reorder 5 %, duplicate 5 %"
    found.append(Case(f"sensor: {name}", {"sensor": mixed}))
    found.append(Case(f"all: {name}", dict.fromkeys(("camera", "robot", "sensor"), mixed)))
    view1 = frozenset({"camera", "View1"})
    found.append(Case("a stranger: cameras with odd names", {}, odd_cameras, view1))
    found.append(Case(f"a stranger: {REPORTERS} reporters", {}, invented_reporters))
    for name, stranger, blamed in (
        ("a second sensor, 50 ms behind", second_sensor(-0.05), frozenset({"sensor"})),
        ("a second sensor, 1 h ahead", second_sensor(3600.0), frozenset({"sensor"})),
        ("a second camera of a view", second_camera(f"usb_{_ONE}_left"), view1),
        ("a second camera of a name", second_camera(f"zed_{_ONE}_left"), view1),
    ):
        found.append(Case(f"a stranger: {name}", {}, stranger, blamed))
    for name, second in SECOND_PUBLISHERS.items():
        found.append(Case(f"second publisher: {name}", {}, second, second.streams))
    found.append(
        Case(
            "all cameras: queue for a bridge that is away",
            {},
            blamed=frozenset({"camera", *VIEW_OF.values()}),
            absent="camera_bridge",
        )
    )
    features = OTHER_WEIGHTS.streams | {"features"}
    for name, change in (
        ("VLM: told something, dies, comes back", SaidOnce("Hold still")),
        ("VLM: silent, other weights in its place", OTHER_WEIGHTS),
    ):
        found.append(Case(name, {}, change, features, absent="vlm"))
    found.append(Case("recorder: its disk goes away", {}, FolderGone(), frozenset({"recorder"})))
    return found


def suffering(stream: str, only: str) -> list[str]:
    """The streams that a proxy's fault touches; of cameras, those with ``only`` in their name."""
    if stream != "camera":
        return [stream]
    return [view for camera, view in VIEW_OF.items() if only in camera]
