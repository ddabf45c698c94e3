from __future__ import annotations

from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import header
from vla_inference_ros.msg import FrameInfo
from vla_inference_ros.recording.pairing import Pairing, Picture

T = 1_700_000_000.25
SECOND = 1_000_000_000
NOW = int(T) * SECOND
NEVER = 2**63


def picture(number: int, published: int | None = None) -> Picture:
    image = CompressedImage(header=header(T + number, "view1"))
    return Picture("View1", image, NOW + number * SECOND if published is None else published)


def info(number: int, camera: str = "left") -> FrameInfo:
    return FrameInfo(header=header(T + number, "view1"), camera=camera)


def cameras(pairing: Pairing, until: int) -> list[str | None]:
    return [each.info.camera if each.info else None for each in pairing.take(until)]


def test_a_picture_waits_for_its_info() -> None:
    pairing = Pairing()
    pairing.add_picture(picture(0))
    assert cameras(pairing, NOW) == []
    pairing.add_info(info(1, "another"), NOW)
    assert cameras(pairing, NOW) == []
    pairing.add_info(info(0), NOW)
    assert cameras(pairing, NOW) == ["left"]
    assert cameras(pairing, NEVER) == []


def test_it_does_not_wait_once_its_info_would_have_come() -> None:
    pairing = Pairing()
    pairing.add_picture(picture(0))
    pairing.add_picture(picture(1))
    pairing.add_info(info(1), NOW + SECOND)
    assert cameras(pairing, NOW) == []  # the order is kept
    assert cameras(pairing, NOW + 1) == [None, "left"]


def test_two_pictures_of_one_stamp_have_an_info_each() -> None:
    """A camera that sends a picture twice."""
    pairing = Pairing()
    for camera in ("first", "second"):
        pairing.add_picture(picture(0))
        pairing.add_info(info(0, camera), NOW)
    assert cameras(pairing, NOW) == ["first", "second"]


def test_what_is_known_of_pictures_that_never_come_is_forgotten_and_counted() -> None:
    pairing = Pairing()
    for number in range(3):
        pairing.add_info(info(number), NOW + number * SECOND)
    assert pairing.never_came(NOW) == {}
    assert pairing.never_came(NOW + 2 * SECOND) == {"view1": 2}
    assert pairing.never_came(NOW + 2 * SECOND) == {}
    for number in range(3):
        pairing.add_picture(picture(number))
    assert cameras(pairing, NEVER) == [None, None, "left"]


def test_what_is_missing_before_a_later_picture_is_left_to_its_number() -> None:
    pairing = Pairing()
    for number in range(3):
        pairing.add_info(info(number), NOW + number * SECOND)
    pairing.add_picture(picture(1))
    assert cameras(pairing, NEVER) == ["left"]
    assert pairing.never_came(NEVER) == {"view1": 1}


def test_frames_of_ever_other_names_are_not_remembered() -> None:
    pairing = Pairing()
    for number in range(100):
        image = CompressedImage(header=header(T + number, f"camera_{number}"))
        pairing.add_picture(Picture("View1", image, NOW + number * SECOND))
        assert cameras(pairing, NEVER) == [None]
        assert pairing.never_came(NOW + (number - 10) * SECOND) == {}
    assert len(pairing._newest) == 11
