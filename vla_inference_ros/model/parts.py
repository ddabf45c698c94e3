"""Sorts what a checkpoint holds by the network that it is of.

Owns the forms of checkpoints: what the state dicts lie in, and what wrappers of training put into
names. Does not own how files are read, nor what the networks do with their tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

from torch import Tensor

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.state_file import read_state_file

PARTS = ("sensor_encoder", "action_expert", "vl_model")
# What torch.compile, DistributedDataParallel and DataParallel, FullyShardedDataParallel, and
# checkpoint_wrapper put before the names of what they wrap, a network or any layer in it.
_WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# Under which training code, Lightning, and DeepSpeed save the state dict of all.
_CONTAINERS = ("model_state_dict", "state_dict", "model", "module")
# First steps of the names that a vision-language model saved on its own has.
_VLM_ALONE = frozenset({"base_model", "model", "language_model", "visual", "lm_head"})

Form = Literal["stage1", "full", "bare"]


@dataclass(slots=True)
class Parts:
    """A checkpoint's entries by network: of each, the values by their name in it.

    ``form``: ``stage1`` has one dict per network, ``full`` has them in ``model_state_dict`` or the
    like, ``bare`` is that state dict itself. ``names`` are those at the top level, ``ignored`` the
    entries of no network, ``misnamed`` says what the file is if its suffix says otherwise.
    """

    path: str | PathLike[str]
    names: tuple[str, ...]
    misnamed: str
    form: Form = "bare"
    states: dict[str, dict[str, Any]] = field(default_factory=lambda: {part: {} for part in PARTS})
    ignored: list[str] = field(default_factory=list)
    _places: dict[str, dict[str, str]] = field(default_factory=lambda: {part: {} for part in PARTS})

    def put(self, part: str, key: str, value: object, place: str) -> None:
        """Add an entry by its name without wrappers. ``place`` is where it is in the file."""
        name = plain_name(key)
        if name in self.states[part]:
            raise ModelError(
                f"checkpoint {self.path} has {name} twice, as {self._places[part][name]} and as "
                f"{place}: save one of the two"
            )
        self.states[part][name] = value
        self._places[part][name] = place

    def container_of(self, part: str) -> str:
        """Where the first entry of a part was found."""
        return next(iter(self._places[part].values())).partition(": ")[0]


def plain_name(key: str) -> str:
    """The name that a tensor has in the network itself, without wrappers."""
    return ".".join(step for step in key.split(".") if step not in _WRAPPERS)


def read_parts(path: str | PathLike[str]) -> Parts:
    """All that a file holds, sorted. Raises :class:`ModelError`, also for a name that is there
    twice once the wrappers' names are taken away.
    """
    file = read_state_file(path)
    found = Parts(path, tuple(file.entries), file.misnamed)
    outside = _sort(found, file.entries, "")
    if outside and not found.states["vl_model"]:
        for place, (key, value) in outside.items():
            found.put("vl_model", key, value, place)
    elif outside:
        raise ModelError(
            f"checkpoint {path} has a vision-language model under vl_model and a second one beside "
            f"it, {next(iter(outside))} and so on: save one of the two"
        )
    return found


def _sort(found: Parts, entries: Mapping[Any, Any], inside: str) -> dict[str, tuple[str, Any]]:
    """Give the entries, and those of containers among them, to their networks.

    ``inside`` is the place of these entries. Returns, by their place, the names and values that
    only a vision-language model has whose names do not say that they are one's.
    """
    outside: dict[str, tuple[str, Any]] = {}
    rest = {str(key): value for key, value in entries.items()}
    for container in _CONTAINERS:
        if isinstance(rest.get(container), Mapping):
            outside |= _sort(found, rest.pop(container), f"{inside}{container}: ")
            if found.form == "bare" and any(found.states.values()):
                found.form = "full"
    _sort_dicts(found, rest, inside)
    others: Counter[str] = Counter()
    for key, value in rest.items():
        name = plain_name(key)
        if name.startswith(tuple(f"model.{part}." for part in PARTS)):
            name = name.removeprefix("model.")  # of Lightning's module, the network in an attribute
        group, dot, own_name = name.partition(".")
        if dot and group in PARTS:
            found.put(group, own_name, value, f"{inside}{key}")
        elif dot and group in _VLM_ALONE and isinstance(value, Tensor):
            outside[f"{inside}{key}"] = key, value
        elif dot:
            others[group] += 1
        else:
            found.ignored.append(name or key)
    found.ignored += [f"{group}.* ({count} tensors)" for group, count in others.items()]
    return outside


def _sort_dicts(found: Parts, entries: dict[str, Any], inside: str) -> None:
    """Take the dicts of one network each out of the entries."""
    in_container = {part for part in PARTS if found.states[part]}
    for key in list(entries):
        part = plain_name(key)
        if part not in PARTS or not isinstance(entries[key], Mapping):
            continue
        own = entries.pop(key)
        if part in in_container:
            found.ignored.append(f"{key} (in {found.container_of(part)} too)")
            continue
        if found.form == "bare":
            found.form = "stage1"
        for name, value in own.items():
            found.put(part, str(name), value, f"{inside}{key}: {name}")
