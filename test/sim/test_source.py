from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.jpeg import jpeg_size
from vla_inference_ros.sim.needle import PERIOD
from vla_inference_ros.sim.scene import PictureFormat, Scene
from vla_inference_ros.sim.source import (
    CaptureSource,
    Flickering,
    PooledSource,
    SourceError,
    open_source,
)

START = 1_700_000_000.0
SMALL = PictureFormat(width=160, height=90)


def grey(level: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def pixels(jpeg: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.tobytes()


def level_of(jpeg: bytes) -> int:
    return round(float(np.frombuffer(pixels(jpeg), np.uint8).mean()))


def write_video(path: Path, levels: list[int]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (64, 48))
    assert writer.isOpened()
    for level in levels:
        writer.write(grey(level))
    writer.release()


def test_nothing_given_is_the_scene() -> None:
    assert isinstance(open_source("", "View1", 0, SMALL), Scene)


def test_a_folder_is_sorted_and_looped(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "b.jpg"), grey(100, 200, 100))
    cv2.imwrite(str(tmp_path / "a.JPEG"), grey(50))
    cv2.imwrite(str(tmp_path / "c.png"), grey(150, 32, 24))
    (tmp_path / "notes.txt").write_text("not a picture", encoding="utf-8")
    source = open_source(str(tmp_path), "View1", 0, SMALL)
    sent = [source.jpeg(START) for _ in range(4)]
    assert sent[0] == (tmp_path / "a.JPEG").read_bytes()
    assert sent[1] == (tmp_path / "b.jpg").read_bytes()
    assert sent[3] == (tmp_path / "a.JPEG").read_bytes()
    assert jpeg_size(sent[2]) == (32, 24)
    assert abs(level_of(sent[2]) - 150) <= 2
    source.close()


def test_a_picture_that_vanished_is_an_error(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), grey(50))
    source = open_source(str(tmp_path), "View1", 0, SMALL)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(SourceError, match=r"a\.jpg cannot be read"):
        source.jpeg(START)


def test_a_video_is_looped_at_its_own_size(tmp_path: Path) -> None:
    write_video(tmp_path / "eye.avi", [20, 120, 220])
    source = open_source(str(tmp_path / "eye.avi"), "View1", 0, SMALL)
    sent = [source.jpeg(START) for _ in range(7)]
    source.close()
    assert jpeg_size(sent[0]) == (64, 48)
    np.testing.assert_allclose(
        [level_of(jpeg) for jpeg in sent], [20, 120, 220, 20, 120, 220, 20], atol=4
    )


def test_a_video_that_stops_delivering_is_an_error(tmp_path: Path) -> None:
    write_video(tmp_path / "eye.avi", [20])
    source = open_source(str(tmp_path / "eye.avi"), "View1", 0, SMALL)
    source.jpeg(START)
    source.close()
    with pytest.raises(SourceError, match=r"eye\.avi stopped delivering"):
        source.jpeg(START)


def test_a_camera_that_is_not_one_is_refused() -> None:
    with pytest.raises(SourceError, match=r"/dev/null cannot be read as a camera"):
        open_source("/dev/null", "View1", 0, SMALL)


def test_a_camera_number_is_a_video_device() -> None:
    with pytest.raises(SourceError, match=r"/dev/video97 does not exist"):
        open_source("97", "View1", 0, SMALL)


def test_a_missing_path_says_what_was_given_and_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"'.*nowhere' for 'View3'.*accepted are '' \(the drawn"):
        open_source(str(tmp_path / "nowhere"), "View3", 2, SMALL)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no \.jpg"):
        open_source(str(tmp_path), "View1", 0, SMALL)


@pytest.mark.parametrize("name", ["broken.jpg", "broken.png"])
def test_a_broken_picture_is_an_error_at_opening(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / "good.jpg"), grey(50))
    (tmp_path / name).write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(SourceError, match=rf"{name} cannot be read"):
        open_source(str(tmp_path), "View1", 0, SMALL)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "eye.avi").write_bytes(b"not a video")
    with pytest.raises(SourceError, match=r"eye\.avi cannot be read as a video"):
        open_source(str(tmp_path / "eye.avi"), "View1", 0, SMALL)


def test_a_pool_is_made_once_and_follows_the_needle(tmp_path: Path) -> None:
    write_video(tmp_path / "eye.avi", [20, 120, 220])
    pooled = PooledSource(CaptureSource(tmp_path / "eye.avi", SMALL, live=False), 2, START)
    first, second = pooled.jpeg(START), pooled.jpeg(START + 0.6 * PERIOD)
    assert abs(level_of(first) - 20) <= 4
    assert abs(level_of(second) - 120) <= 4
    for same_as_first in (START + 0.1, START + 2 * PERIOD):
        assert pixels(pooled.jpeg(same_as_first)) == pixels(first)
    assert pixels(pooled.jpeg(START - 0.1)) == pixels(second)
    pooled.close()


def test_no_two_pictures_that_flicker_have_the_same_pixels(tmp_path: Path) -> None:
    """In all the time that a camera is watched for old pictures."""
    photograph = Scene("View1", 0, SMALL).jpeg(START)
    (tmp_path / "a.jpg").write_bytes(photograph)
    folder = open_source(str(tmp_path), "View1", 0, SMALL)
    pooled = PooledSource(Scene("View1", 0, SMALL), 1, START)
    for source in map(Flickering, (folder, pooled)):
        taken = [source.jpeg(START + n / 30) for n in range(600)]
        assert len({pixels(jpeg) for jpeg in taken}) == len(taken)
    assert len({jpeg_size(jpeg) for jpeg in taken}) == 1
    pooled.close()
