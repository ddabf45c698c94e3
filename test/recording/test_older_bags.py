"""Bags from before a message type got more fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bags import assert_holds, bag, file_of, foreign_bag, run_messages
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.definitions import definition_of
from vla_inference_ros.recording.inputs import inputs
from vla_inference_ros.recording.older import OlderMessages, OtherVersionError
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.topics import ACTIONS, INPUTS

NEW = re.compile(r"^uint64 source_id .*\n", re.MULTILINE)


def store_of(message_type: str, text: str) -> Any:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(text, message_type))
    return store


def without_new_fields(store: Any, message: Any) -> Any:
    """A message as a version of its type has it that knows less."""
    if isinstance(message, list):
        return [without_new_fields(store, each) for each in message]
    name = getattr(message, "__msgtype__", None)
    if name is None:
        return message
    fields = [field for field, _ in store.fielddefs[name][1]]
    return store.types[name](**{f: without_new_fields(store, getattr(message, f)) for f in fields})


def older_bag(folder: Path, storage: StoragePlugin) -> Path:
    """As it was recorded before messages said their source."""
    writer = Writer(folder, version=9, storage_plugin=storage)
    stores: dict[str, tuple[Any, Any, Any]] = {}
    with writer:
        for each in run_messages():
            if each.topic not in stores:
                text = definition_of(each.type).text
                then = store_of(each.type, NEW.sub("", text))
                connection = writer.add_connection(
                    each.topic,
                    each.type,
                    msgdef=NEW.sub("", text),
                    rihs01=then.hash_rihs01(each.type),
                )
                stores[each.topic] = (store_of(each.type, text), then, connection)
            now, then, connection = stores[each.topic]
            older = without_new_fields(then, now.deserialize_cdr(each.data, each.type))
            writer.write(connection, each.stamp_ns, then.serialize_cdr(older, each.type))
    return folder


@pytest.mark.parametrize("storage", StoragePlugin)
def test_a_bag_from_before_messages_said_their_source_is_read(
    storage: StoragePlugin, tmp_path: Path
) -> None:
    assert any(NEW.search(definition_of(each.type).text) for each in run_messages(1))
    assert_holds(older_bag(tmp_path / "bag", storage))


def test_its_inputs_can_be_played_to_the_nodes_of_today(tmp_path: Path) -> None:
    then = list(inputs(Bag(older_bag(tmp_path / "older", StoragePlugin.MCAP))))
    now = list(inputs(Bag(foreign_bag(tmp_path / "now", run_messages()))))
    assert [(each.topic, each.stamp) for each in then] == [(e.topic, e.stamp) for e in now]
    assert {each.topic for each in then} <= set(INPUTS)
    types = {each.topic: each.type for each in run_messages(1)}
    for old, new in zip(then, now, strict=True):
        store = store_of(types[old.topic], definition_of(types[old.topic]).text)
        messages = [store.deserialize_cdr(each.message, types[each.topic]) for each in (old, new)]
        assert repr(messages[0]) == repr(messages[1])


@pytest.mark.parametrize("change", ["renamed", "of another type"])
def test_a_version_that_has_what_ours_has_not_is_named(change: str, tmp_path: Path) -> None:
    folder = bag(tmp_path / "bag", run_messages(2))
    path, known = file_of(folder), definition_of("vla_inference_ros/msg/ActionChunk")
    other = {"renamed": b"uint64 chunk_xx", "of another type": b"uint32 chunk_id"}[change]
    data = path.read_bytes().replace(known.hash.encode(), known.hash.encode()[:-1] + b"?")
    path.write_bytes(data.replace(b"uint64 chunk_id", other))
    field = other.decode().split()[1]
    with pytest.raises(
        RecordingError, match=f"{ACTIONS} was recorded with another version.*{field}"
    ):
        list(Bag(folder).results())
    assert len(list(Bag(folder).states())) == 2


def test_a_definition_that_cannot_be_read_is_another_version() -> None:
    for text in ("", "no definition", "uint64 a\nb c d e f"):
        with pytest.raises(OtherVersionError):
            OlderMessages("vla_inference_ros/msg/ActionChunk", text)


def test_an_older_message_that_is_damaged_is_named() -> None:
    kind = "vla_inference_ros/msg/RobotState"
    older = OlderMessages(kind, NEW.sub("", definition_of(kind).text))
    for data in (b"", b"\0\1\0\0", bytes(30)):
        with pytest.raises(ValueError, match="does not deserialize"):
            older.read(data)
