"""Every kind of damage to a bag is told in one clear line."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from bags import bag, cut_off, file_of, foreign_bag, log_time, raw, run_messages
from rosbags.rosbag2 import StoragePlugin
from std_msgs.msg import String

from vla_inference_ros import convert
from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.msg import ActionChunk, SensorBatch, VLFeatures
from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag, RawMessage
from vla_inference_ros.recording.bag_files import open_files
from vla_inference_ros.recording.bag_message import BagFiles
from vla_inference_ros.recording.recording import RecordingError

SEED, ROUNDS, SHORT_ROUNDS = 7, 3000, 300  # of damaging a file anywhere


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return bag(tmp_path / "bag", run_messages(4))


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at, 0 if at >= 0 else 2)
        file.write(data)


def metadata(folder: Path) -> Path:
    return folder / "metadata.yaml"


def all_of(path: Path, strict: bool = True) -> list[str]:
    """What of it is odd, in words."""
    found = Bag(path, strict)
    for read in (found.raw, found.frames, found.states, found.samples):
        list(read())
    for each in (found.results, found.features):
        list(each())
    return found.odd.lines()


def said_of(path: Path) -> str:
    """What is said of a damaged bag."""
    with pytest.raises(RecordingError) as caught:
        all_of(path)
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    return said


def left_out(path: Path) -> list[str]:
    """What is said of a bag that has something odd, which is refused by who reads strictly."""
    said = said_of(path)
    lines = all_of(path, strict=False)
    assert any(line.endswith(said) for line in lines)
    return lines


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty file": (lambda folder: cut_off(folder, 0), "the file is empty"),
    "no file": (lambda folder: file_of(folder).unlink(), "metadata.yaml names bag_0.mcap, which"),
    "only the beginning": (lambda folder: cut_off(folder, 1000), "was cut off before its first"),
    "not even a record": (
        lambda folder: cut_off(folder, 20),
        "it is damaged, or was cut off, at byte 8",
    ),
    "half a beginning": (lambda folder: cut_off(folder, 5), "it is no MCAP file, or its beginning"),
    "something else": (
        lambda folder: file_of(folder).write_text("text" * 100, encoding="utf-8"),
        "it is no MCAP file, or its beginning is damaged",
    ),
    "another system": (
        lambda folder: overwrite(file_of(folder), 21, b"ros1"),
        "its profile is 'ros1', not 'ros2'",
    ),
    "no YAML": (
        lambda folder: metadata(folder).write_text("a: [1", encoding="utf-8"),
        "metadata.yaml is damaged",
    ),
    "no text": (lambda folder: metadata(folder).write_bytes(b"\xff\xfe"), "is damaged"),
    "empty YAML": (lambda folder: metadata(folder).write_text("", encoding="utf-8"), "is damaged"),
    "other YAML": (
        lambda folder: metadata(folder).write_text("a: 1", encoding="utf-8"),
        "is damaged (KeyError",
    ),
    "no files named": (
        lambda folder: metadata(folder).write_text(
            "rosbag2_bagfile_information: {relative_file_paths: []}", encoding="utf-8"
        ),
        "is damaged (IndexError",
    ),
    "files are a number": (
        lambda folder: metadata(folder).write_text(
            "rosbag2_bagfile_information: {relative_file_paths: 3}", encoding="utf-8"
        ),
        "is damaged (TypeError",
    ),
    "a file is a folder": (
        lambda folder: file_of(folder).rename(folder / "a").with_name("bag_0.mcap").mkdir(),
        "cannot be read: [Errno 21] Is a directory",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_told(kind: str, whole: Path) -> None:
    damage, said = DAMAGES[kind]
    damage(whole)
    assert said in said_of(whole)


def test_damage_to_metadata_says_what_mends_it(whole: Path) -> None:
    metadata(whole).write_text("", encoding="utf-8")
    assert "vla-recover makes it anew of the files that are there" in said_of(whole)


def test_a_folder_of_nothing_but_metadata(tmp_path: Path) -> None:
    folder = bag(tmp_path / "bag", run_messages(1))
    for file in folder.iterdir():
        file.unlink()
    assert "has no bag file (.mcap, .db3)" in said_of(folder)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in said_of(tmp_path / "none.mcap")


@pytest.mark.parametrize("storage", StoragePlugin)
def test_damage_to_other_recorders_bags(storage: StoragePlugin, tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(4), storage)
    file = next(path for path in folder.iterdir() if path.suffix in (".db3", ".mcap"))
    data = file.read_bytes()
    for broken in (b"", data[:50], b"\0" * 5000, b"text" * 2000):
        file.write_bytes(broken)
        said = said_of(folder)
        assert "cannot be read: " in said or "was cut off before its first" in said


def test_a_bag_of_something_else_says_what_it_has(tmp_path: Path) -> None:
    messages = [raw(topic, String(data="a"), 1, "std_msgs/msg/String") for topic in ("/b", "/a")]
    folder = bag(tmp_path / "bag", messages)
    assert "has none of the topics of a run, such as /vla/actions; its topics are: /a, /b" in (
        said_of(folder)
    )
    assert said_of(bag(tmp_path / "empty", [])).endswith("its topics are: none at all")


def test_a_topic_of_another_type(tmp_path: Path) -> None:
    message = raw("/robot/state", String(data="a"), 1, "std_msgs/msg/String")
    folder = bag(tmp_path / "bag", [message])
    assert (
        "/robot/state is of type std_msgs/msg/String, not vla_inference_ros/msg/RobotState"
        in said_of(folder)
    )
    assert [each.data for each in Bag(folder).raw()] == [message.data]
    assert list(Bag(folder).results()) == []  # of which nothing is wrong


@pytest.mark.parametrize("topic", ["/robot/state", "/vla/actions", "/camera/frame_info"])
@pytest.mark.parametrize("length", [0, 3, 4, 30])
def test_a_message_that_was_cut_off(topic: str, length: int, tmp_path: Path) -> None:
    number, message = next(
        (number, each) for number, each in enumerate(run_messages()) if each.topic == topic
    )
    broken = RawMessage(topic, message.type, message.stamp_ns, message.data[:length])
    folder = bag(tmp_path / "bag", [*run_messages()[:number], broken])
    lines = left_out(folder)
    assert f"the message on {topic} at {message.stamp_ns / 1e9:.6f}: does not des" in lines[0]
    assert lines[0].startswith(f"left out, since it is odd: 1 of {topic}, does not deserialize: ")


def test_messages_that_do_not_fit_together(tmp_path: Path) -> None:
    image = convert.compressed_image(
        CameraFrame("camera", 1.7e9, b"no picture", 8, 8), 0.0, "view1"
    )
    for topic, message, said in (
        ("/sensor/samples", SensorBatch(ascan_length=3), "sensor batch has 0 stamps"),
        ("/vla/actions", ActionChunk(horizon=2, action_dim=7), "reshape"),
        ("/vla/features", VLFeatures(shape=[1, 1, 3]), "reshape"),
        ("/vla/features", VLFeatures(shape=[0], views=["View1"]), "shorter"),
        ("/camera/view1/image_raw/compressed", image, "JPEG"),
    ):
        folder = tmp_path / f"bag{len(list(tmp_path.iterdir()))}"
        (told,) = left_out(bag(folder, [raw(topic, message, log_time(0))]))
        assert f"the message on {topic} at " in told
        assert said in told


@pytest.mark.long
def test_a_file_that_is_damaged_anywhere_is_read_or_refused(tmp_path: Path, full: bool) -> None:
    """Nothing else happens to who reads it: no other error, no end without end, no silence."""
    folder = foreign_bag(tmp_path / "bag", run_messages(3))
    ours = bag(tmp_path / "ours", run_messages(3))
    chance = random.Random(SEED)
    refused = less = 0
    told: list[str] = []
    for path in (file_of(folder), file_of(ours)):
        data = path.read_bytes()
        for _ in range((ROUNDS if full else SHORT_ROUNDS) // 2):
            # Most of a file is numbers, which may be any; what is worth damaging is few bytes.
            broken = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                at = chance.choice((chance.randrange(len(data)), -chance.randint(1, 3000)))
                broken[at] = chance.randrange(256)
            path.write_bytes(broken[: chance.choice((None, chance.randrange(len(data))))])
            try:
                files: BagFiles = open_files(path)
                told.clear()
                read = len(list(files.raw(files.topics, lambda what, *_: told.append(what))))
            except RecordingError:
                refused += 1
                continue
            assert read <= 18
            assert told or read == 18 or not files.complete
            less += bool(told)
        path.write_bytes(data)
        assert len(list(Bag(path).raw())) == 18
    assert refused > 3
    assert less > 3


def test_a_record_that_cannot_be(whole: Path) -> None:
    for content in (b"", b"\x01", b"\x01\x00\xff\xff\xff\xff", b"\x01\x00\x02\x00\x00\x00\xff\xff"):
        with pytest.raises(mcap.McapError):
            mcap.Schema.unpack(content)
