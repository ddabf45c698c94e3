"""Which pictures are decoded, which are refused as damaged, and which are only odd."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.pictures import MOST_EXTRANEOUS, decode, picture_content
from vla_inference_ros.sim.jpeg_content import cut, emptied, endless, zeroed

CASES = Path(__file__).parents[1] / "data" / "jpeg"
END = b"\xff\xd9"
CONTROL = (CASES / "base420.jpg").read_bytes()
ODD = {
    "avi1_nodht": ("no Huffman tables in the JPEG",),
    "trail512zeros": ("bytes behind the JPEG's end",),
    "trail_ff": ("bytes behind the JPEG's end",),
}


def pixels(data: bytes) -> NDArray[np.uint8]:
    """By OpenCV's decoder."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert found is not None
    return found.astype(np.uint8)


def encoded(*options: int, quality: int = 72) -> bytes:
    image = pixels(CONTROL)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *options])[1].tobytes()


@pytest.mark.parametrize("path", sorted(CASES.glob("*.jpg")), ids=lambda path: path.stem)
def test_what_real_cameras_send_is_decoded_pixel_for_pixel(path: Path) -> None:
    data = path.read_bytes()
    if path.stem == "noeoi":
        with pytest.raises(ValueError, match="no end marker: cut short"):
            decode(data)
        return
    decoded = decode(data, "BGR")
    np.testing.assert_array_equal(decoded.pixels, pixels(data))
    np.testing.assert_array_equal(decode(data).pixels, pixels(data)[..., ::-1])
    assert decode(data, "GRAY").pixels.shape == (360, 640)
    assert decoded.oddities == ODD.get(path.stem, ())


@pytest.mark.parametrize(
    ("place", "value"), [(4, 12), (11, 0x33)], ids=["12 bits", "three times as many"]
)
def test_a_kind_that_is_not_read_is_not_called_damaged(place: int, value: int) -> None:
    ratios = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, coded = cv2.imencode(".jpg", np.full((32, 32, 3), 99, np.uint8), ratios)
    jpeg = bytearray(coded.tobytes())
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + place] = value
    with pytest.raises(ValueError, match=r"^the JPEG is of a kind that is not read .*8 bits, and"):
        decode(bytes(jpeg))


def test_an_orientation_tag_is_not_followed() -> None:
    tagged = (CASES / "exif6.jpg").read_bytes()
    np.testing.assert_array_equal(decode(tagged).pixels, decode(CONTROL).pixels)


@pytest.mark.parametrize("order", ["RGB", "BGR", "GRAY"])
def test_a_reduced_jpeg_is_decoded_to_no_less_than_asked(order: str) -> None:
    assert decode(CONTROL, order, (320, 180)).pixels.shape[:2] == (180, 320)  # type: ignore[arg-type]
    assert decode(CONTROL, order, (300, 1)).pixels.shape[:2] == (180, 320)  # type: ignore[arg-type]
    assert decode(CONTROL, order, (9999, 9999)).pixels.shape[:2] == (360, 640)  # type: ignore[arg-type]


KINDS = {
    "baseline": encoded(),
    "optimized": encoded(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "fine": encoded(quality=97),
    "restarts": encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "progressive": encoded(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
}


@pytest.mark.parametrize("damage", [zeroed, cut, emptied], ids=lambda each: each.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_whole_markers_do_not_hide_a_damaged_body(
    damage: Callable[[bytes], bytes], kind: str
) -> None:
    spoilt = damage(KINDS[kind])
    assert spoilt.endswith(END)
    for least in ((0, 0), (320, 180), (80, 45)):  # what is reduced is read as a whole
        with pytest.raises(ValueError, match=r"damaged|cut short"):
            decode(spoilt, "RGB", least)


@pytest.mark.parametrize("kind", ["baseline", "optimized", "fine"])
@pytest.mark.parametrize("length", [100, 1000, 5000])
def test_a_hole_in_the_body_is_noticed(kind: str, length: int) -> None:
    data = KINDS[kind]
    middle = len(data) // 2
    for filling in (bytes(length), b"\xff\x00" * (length // 2), b""):
        with pytest.raises(ValueError, match="damaged"):
            decode(data[:middle] + filling + data[middle + length :])


def test_a_lost_part_between_restarts_is_noticed() -> None:
    data = KINDS["restarts"]
    for lost in (200, 2000):
        with pytest.raises(ValueError, match="damaged"):
            decode(data[: len(data) // 2] + data[len(data) // 2 + lost :])


PADDED = "padding before the JPEG's end"
PADDINGS = {"00": b"\0", "FF, stuffed": b"\xff\0", "FF, as fill": b"\xff"}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("count", [2, 16, MOST_EXTRANEOUS])
@pytest.mark.parametrize("kind", ["baseline", "restarts", "progressive"])
def test_padding_before_the_end_is_odd_and_taken(padding: str, count: int, kind: str) -> None:
    """As many webcams leave it; a few bytes are read ahead, and no decoder speaks of them."""
    unit = PADDINGS[padding]
    data = KINDS[kind]
    for least in ((0, 0), (160, 90)):
        decoded = decode(data[:-2] + unit * (count // len(unit)) + END + b"\0\0", "BGR", least)
        np.testing.assert_array_equal(decoded.pixels, decode(data, "BGR", least).pixels)
        if count > 2:
            assert (PADDED in decoded.oddities) == (padding != "FF, as fill")


def test_last_bytes_that_look_like_padding_belong_to_the_picture() -> None:
    """Coded data may end in 00, or in FF with its stuffed 00, as that of some pictures does."""
    ends = set()
    for number in range(3000):
        flat = np.full((16, 16), 128, np.uint8)
        flat[number % 16, number // 16 % 16] = number % 251
        data = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_QUALITY, 60 + number % 40])[1].tobytes()
        if data[-3] in (0, 0xFF):
            ends.add(data[-4:-2])
            padded = decode(data[:-2] + bytes(32) + END, "GRAY")
            np.testing.assert_array_equal(padded.pixels, decode(data, "GRAY").pixels)
            assert padded.oddities == (PADDED,)
    assert b"\xff\x00" in ends


def test_so_much_behind_the_last_block_is_damage() -> None:
    with pytest.raises(ValueError, match="extraneous bytes"):
        decode(CONTROL[:-2] + bytes(2 * MOST_EXTRANEOUS) + END)


@pytest.mark.parametrize("padding", [0, 16, 300])
@pytest.mark.parametrize("length", [64, 400])
def test_what_is_left_over_but_no_padding_is_damage(length: int, padding: int) -> None:
    """A decoder that has lost its place leaves as much over as came twice."""
    dice = random.Random(length)
    data = KINDS["baseline"]
    refused = 0
    for _ in range(15):
        at = dice.randrange(len(data) // 4, len(data) // 2)
        for more in (data[at : at + length], dice.randbytes(length).replace(b"\xff", b"\x55")):
            body = data[:at] + more.rstrip(b"\xff") + data[at:-2]
            try:
                decode(body + bytes(padding) + END)
            except ValueError:
                refused += 1
    assert refused >= 26  # by chance some end at the right place


def test_the_few_bytes_that_a_decoder_reads_ahead_hide_no_blocks() -> None:
    """Of a picture whose last rows are flat, in which a block takes a few bits."""
    image = pixels(CONTROL)
    image[180:] = 40
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 72])[1].tobytes()
    for count in range(1, 8):
        assert 0xFF not in data[-2 - count : -2]
        with pytest.raises(ValueError, match=r"left over behind its last block|extraneous"):
            decode(data[:-2] + data[-2 - count : -2] + END)
        padded = decode(data[:-2] + bytes(count) + END, "BGR")
        np.testing.assert_array_equal(padded.pixels, decode(data, "BGR").pixels)


def test_padding_does_not_stand_in_for_what_lacks() -> None:
    """A decoder takes padding for the data of the blocks that it lacks, and has some left over."""
    data = KINDS["baseline"]
    for lost in (20, 50, 100):
        with pytest.raises(ValueError, match="damaged"):
            decode(data[: -2 - lost] + bytes(400) + END)
    spoilt = cut(CONTROL)
    with pytest.raises(ValueError, match="premature end"):
        decode(spoilt[:-2] + bytes(16) + END)


def test_flipped_bits_give_a_picture_or_the_error_and_nothing_else() -> None:
    dice = random.Random(1)
    refused = 0
    for _ in range(300):
        data = bytearray(CONTROL)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        try:
            assert decode(bytes(data), "RGB", (160, 90)).pixels.ndim == 3
        except ValueError:
            refused += 1
    assert 0 < refused < 300


def test_a_jpeg_of_thousands_of_scans_is_refused_undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = endless(CONTROL)
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("was decoded"))
    with pytest.raises(ValueError, match="scans or more, which would take too long"):
        decode(bomb)


PNG = cv2.imencode(".png", pixels(CONTROL))[1].tobytes()


def test_a_png_is_decoded() -> None:
    np.testing.assert_array_equal(decode(PNG, "BGR").pixels, pixels(CONTROL))
    np.testing.assert_array_equal(decode(PNG).pixels, pixels(CONTROL)[..., ::-1])
    assert decode(PNG, "GRAY").pixels.shape == (360, 640)


@pytest.mark.parametrize(
    "damaged",
    [
        PNG[: len(PNG) // 2],
        PNG[: len(PNG) // 2] + PNG[-12:],
        PNG[:5000] + bytes([PNG[5000] ^ 8]) + PNG[5001:],
        PNG[:-12],
    ],
    ids=["cut", "cut with an end", "flipped", "no end"],
)
def test_a_damaged_png_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode(damaged)


@pytest.mark.parametrize("nothing", [b"", b"no picture", b"\xff\xd8\xff\xd9"])
def test_what_is_no_picture_is_refused(nothing: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        decode(nothing)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def test_content_of_a_png_is_the_same_whatever_text_it_has() -> None:
    image = pixels(CONTROL)
    png, other = (cv2.imencode(".png", each)[1].tobytes() for each in (image, image + 1))
    header_end = 8 + 25
    said = {picture_content(png)}
    for text in (b"1", b"another"):
        commented = png[:header_end] + chunk(b"tEXt", b"n\0" + text) + png[header_end:]
        assert (pixels(commented) == image).all()
        said |= {picture_content(commented), picture_content(png + text)}
    assert len(said) == 1
    assert picture_content(other) not in said
    assert picture_content(png[:-20]) not in said
    assert len({picture_content(png[:9]), picture_content(png[:10])}) == 2


def test_content_of_a_jpeg_is_that_of_its_pixels() -> None:
    assert picture_content(CONTROL + b"1") == picture_content(CONTROL)
    assert picture_content(encoded()) != picture_content(CONTROL)
