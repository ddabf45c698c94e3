"""Goes through all checks: gathers the facts of each, and has them judged.

Owns the order of the checks. Does not own any limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from vla_inference_ros.core.address import with_port
from vla_inference_ros.doctor import (
    clocks,
    computing,
    disk,
    domain,
    machine,
    network,
    ports,
    senders,
    software,
    starting,
    vlm_weights,
    weights,
)
from vla_inference_ros.doctor.heard import Heard
from vla_inference_ros.doctor.hearing import CAMERA, ROBOT, SENSOR, Hearing, hear, views_of_bridge
from vla_inference_ros.doctor.result import Result, problem, skipped
from vla_inference_ros.doctor.senders import AgeLimits
from vla_inference_ros.doctor.settings import Settings, parameters_file

_MB = 1e6


def examine(settings: Settings, seconds: float) -> list[Result]:
    """The result of every check, in the order that they are worth reading in; listens for
    ``seconds``. Takes some seconds more.
    """
    environment = dict(os.environ)  # before the middleware's settings are in it
    needs_torch = "stub" not in (settings.of("vlm", "model"), settings.of("action_expert", "model"))
    start = starting.gather_start(environment)
    facts = software.gather_here(needs_torch=needs_torch, rclpy_error=start.import_error)
    results = [
        software.python_version(facts),
        software.ros_distribution(facts),
        starting.settings(start),
        software.python_packages(facts),
        parameters_file(settings),
    ]
    found = ports.gather_ports(ports.wanted_ports(settings))
    results += [ports.port_is_free(each) for each in found]
    heard, joined = hear(settings, found, seconds, has_ros=start.works)
    goes_on = any(each.held_by_own_node for each in found)
    rest: dict[str, Callable[[], list[Result]]] = {
        "senders": lambda: _senders(settings, heard) + _clocks(settings, heard),
        "models": lambda: _models(settings),
        "disk of output_dir": lambda: [_disk(settings)],
        "network": lambda: _network(settings, environment),
        "ROS domain": lambda: _domain(settings, joined, goes_on),
        "machine": lambda: _machine(settings),
    }
    for name, look in rest.items():
        results += _looked_at(name, look)
    return results


def _looked_at(name: str, look: Callable[[], list[Result]]) -> list[Result]:
    """The results of some checks; if the look itself fails, that is the result: the others are told
    all the same.
    """
    try:
        return look()
    except Exception as error:  # of a library, on a machine as nobody has seen yet
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return [problem(name, f"cannot be examined: {why}", "correct that, or please report it")]


def _limits(settings: Settings, node: str, what: str) -> AgeLimits:
    soft, hard = (float(settings.of(node, f"{what}_age_{kind}")) for kind in ("soft", "hard"))
    return AgeLimits(soft, hard)


def _senders(settings: Settings, heard: Hearing) -> list[Result]:
    results = []
    views = views_of_bridge(settings)
    images = _limits(settings, "vlm", "image")
    for view in settings.of("vlm", "views"):
        if view not in views:
            results.append(skipped(f"camera {view}", "comes from a topic that is not the bridge's"))
        elif heard.cameras is None:
            results.append(_not_heard(heard, f"camera {view}", CAMERA))
        else:
            nothing = Heard(heard.cameras.refused.seconds)
            results.append(senders.view(view, heard.cameras.views.get(view, nothing), images))
    if heard.cameras is not None:
        results.append(senders.camera_traffic(heard.cameras.others, heard.cameras.refused))
    if heard.robot is None:
        results.append(_not_heard(heard, "robot", ROBOT))
    else:
        results.append(
            senders.robot(
                heard.robot,
                _limits(settings, "action_expert", "robot"),
                where=with_port(settings.of(ROBOT, "host"), settings.of(ROBOT, "port")),
                unreachable=heard.robot_unreachable,
                needed=bool(settings.of("action_expert", "robot_required")),
            )
        )
    if heard.sensor is None:
        results.append(_not_heard(heard, "sensor", SENSOR))
    else:
        limits = _limits(settings, "action_expert", "sensor")
        least = int(settings.of("action_expert", "min_samples"))
        results.append(senders.sensor(heard.sensor, limits, least_samples=least))
    return results


def _not_heard(heard: Hearing, check: str, bridge: str) -> Result:
    if bridge in heard.failed:
        remedy = f"correct the parameter of {bridge}: it would not start either"
        return problem(check, heard.failed[bridge], remedy)
    if bridge in heard.silent:
        remedy = "export the ROS_DOMAIN_ID of that run, or stop it"
        return problem(check, heard.silent[bridge], remedy)
    return skipped(check, heard.skipped.get(bridge, "nothing to hear"))


def _clocks(settings: Settings, heard: Hearing) -> list[Result]:
    results = []
    entries = list(settings.of(CAMERA, "clock_modes"))
    for view, each in (heard.cameras.views if heard.cameras else {}).items():
        mode = dict(entry.split("=", 1) for entry in entries[1:] if "=" in entry)
        limit = _limits(settings, "vlm", "image").soft
        results.append(clocks.clock(view, each, mode.get(view, entries[0]), limit))
    for name, bridge, stream in (("robot", ROBOT, heard.robot), ("sensor", SENSOR, heard.sensor)):
        if stream is not None:
            mode_text = str(settings.of(bridge, "clock_mode"))
            limit = _limits(settings, "action_expert", name).soft
            results.append(clocks.clock(name, stream, mode_text, limit))
    return results


def _models(settings: Settings) -> list[Result]:
    vlm, expert = (
        {name: str(settings.of(node, name)) for name in ("model", "checkpoint", "device", "dtype")}
        for node in ("vlm", "action_expert")
    )
    files = weights.gather_model(vlm["model"])
    places = [
        computing.Placement("vlm", vlm["model"], vlm["device"], vlm["dtype"]),
        computing.Placement("action_expert", expert["model"], expert["device"], expert["dtype"]),
    ]
    room = disk.gather_disk(weights.cache(os.environ), 0.0)
    if files.size:
        places = [
            computing.Placement(each.node, each.model, each.device, each.dtype, files.size)
            for each in places
        ]
    stub = all(place.model == "stub" for place in places)
    torch = computing.TorchFacts("") if stub else computing.gather_torch()
    results = [computing.device(place, torch) for place in places]
    results += computing.memory(places, torch, computing.gather_memory())
    results.append(weights.model_files(files, room.free))
    if torch.error:
        return [*results, skipped("checkpoint", "torch cannot be imported")]
    results.append(_heads(settings, expert, files))
    asked = vlm_weights.VlmCheckpoint(
        vlm["model"],
        vlm["checkpoint"],
        str(settings.of("vlm", "adapter_config")),
        float(settings.of("vlm", "lora_alpha")),
    )
    if asked.is_asked_for:
        facts = vlm_weights.gather_vlm_checkpoint(asked)
        results.append(vlm_weights.vlm_checkpoint_fits(facts))
    return results


def _heads(settings: Settings, expert: Mapping[str, str], files: weights.ModelFacts) -> Result:
    name, model = expert["checkpoint"], expert["model"]
    if model in computing.BUILT_IN and not name:
        return skipped("checkpoint", f"model:={model} has none")
    fusion = str(settings.of("action_expert", "fusion_strategy"))
    loaded = weights.gather_checkpoint(model, name, fusion, expert["dtype"])
    return weights.checkpoint_fits(name, loaded, files)


def _disk(settings: Settings) -> Result:
    recorders = settings.recorders
    node = recorders[0] if recorders else "recorder"
    reserve = float(settings.of(node, "reserve_mb")) * _MB
    facts = disk.gather_disk(Path(str(settings.of(node, "output_dir"))), reserve)
    return disk.disk_space(facts, len(recorders), float(settings.of("monitor", "duration")))


def _network(settings: Settings, environment: Mapping[str, str]) -> list[Result]:
    variables = {**environment, **settings.graph.environment}
    return [
        network.loopback(network.gather_loopback()),
        network.discovery(environment, network.gather_multicast()),
        network.shared_memory(network.gather_shared_memory()),
        network.receive_buffer(
            network.gather_buffer(), int(settings.of("sensor_bridge", "receive_buffer"))
        ),
        network.reassembly(network.gather_reassembly(), variables),
    ]


def _domain(settings: Settings, joined: domain.DomainFacts | None, goes_on: bool) -> list[Result]:
    if joined is None:
        return [skipped("ROS domain", "ROS cannot be started, see above")]
    return [
        domain.middleware(joined),
        domain.no_clash(joined, settings.nodes, run_goes_on=goes_on),
    ]


def _machine(settings: Settings) -> list[Result]:
    asked = [
        int(values["realtime_priority"])
        for values in (settings.parameters[node] for node in settings.nodes)
        if "realtime_priority" in values
    ]
    highest = max(asked, default=0)
    refusal = machine.gather_priority(highest) if highest else ""
    return [
        machine.cpu_governor(machine.gather_governors()),
        machine.realtime_priority(highest, refusal),
    ]
