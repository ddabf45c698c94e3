"""Raw pictures as drivers send them: each encoding's RGB, computed here from its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.raw_picture import ENCODINGS, RawPicture

HEIGHT, WIDTH = 6, 8
RGB = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
PADDINGS = [0, 2, 40]
Pixels = NDArray[Any]


def raw(
    encoding: str, rows: Pixels, padding: int = 0, rest: int = 0, *, is_bigendian: bool = False
) -> RawPicture:
    """Of the rows' numbers, each row with ``padding`` bytes behind it and ``rest`` behind all."""
    if rows.dtype == np.uint16:
        rows = rows.astype(">u2" if is_bigendian else "<u2").view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    data = padded.tobytes() + bytes(rest)
    return RawPicture(encoding, WIDTH, HEIGHT, padded.shape[1], data, is_bigendian)


def flat(pixels: Pixels) -> Pixels:
    """A row of numbers for each row of pixels."""
    return pixels.reshape(pixels.shape[0], -1)


def of_channels(encoding: str) -> Pixels:
    """RGB in the order of an encoding's name, with something in its fourth channel."""
    order = encoding.removesuffix("8").removesuffix("16")
    channels = {"r": RGB[..., 0], "g": RGB[..., 1], "b": RGB[..., 2], "a": 255 - RGB[..., 0]}
    return np.stack([channels[letter] for letter in order], axis=-1)


COLOURS = [f"{order}{bits}" for order in ("rgb", "bgr", "rgba", "bgra") for bits in (8, 16)]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("encoding", COLOURS)
def test_channels_come_in_the_order_of_the_name(
    encoding: str, is_bigendian: bool, padding: int
) -> None:
    rows = flat(of_channels(encoding))
    if encoding.endswith("16"):
        low = np.random.default_rng(6).integers(-128, 129, rows.shape)  # are rounded away
        rows = np.clip(rows.astype(int) * 257 + low, 0, 65535).astype(np.uint16)
    found = raw(encoding, rows, padding, rest=3, is_bigendian=is_bigendian).rgb()
    np.testing.assert_array_equal(found, RGB)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("padding", PADDINGS)
def test_names_without_an_order_have_opencvs(padding: int) -> None:
    grey = RGB[..., 0]
    np.testing.assert_array_equal(raw("8UC3", flat(of_channels("bgr")), padding).rgb(), RGB)
    np.testing.assert_array_equal(raw("8UC4", flat(of_channels("bgra")), padding).rgb(), RGB)
    for encoding in ("8UC1", "mono8"):
        found = raw(encoding, grey, padding).rgb()
        np.testing.assert_array_equal(found, np.dstack([grey] * 3))


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
def test_sixteen_bits_of_grey_are_scaled(is_bigendian: bool, padding: int) -> None:
    values = [0, 128, 129, 385, 386, 256, 4095, 32768, 65406, 65407, 65535, 257]
    grey = np.resize(np.array(values, np.uint16), (HEIGHT, WIDTH))
    found = raw("mono16", grey, padding, is_bigendian=is_bigendian).rgb()
    expected = ((grey.astype(int) + 128) // 257).astype(np.uint8)
    np.testing.assert_array_equal(found, np.dstack([expected] * 3))


def yuv_to_rgb(y: Pixels, u: Pixels, v: Pixels) -> Pixels:
    """BT.601 with Y from 16 to 235 and U, V from 16 to 240."""
    y, u, v = (each.astype(float) for each in (y - 16.0, u - 128.0, v - 128.0))
    red = 255 / 219 * y + 255 / 224 * 1.402 * v
    green = 255 / 219 * y - 255 / 224 * (0.344136 * u + 0.714136 * v)
    blue = 255 / 219 * y + 255 / 224 * 1.772 * u
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


def planes(rows: int) -> tuple[Pixels, Pixels, Pixels]:
    """Y of each pixel; U and V of each pair, of ``rows`` rows."""
    dice = np.random.default_rng(7)
    y = dice.integers(16, 236, (HEIGHT, WIDTH), np.uint8)
    u, v = (dice.integers(16, 241, (rows, WIDTH // 2), np.uint8) for _ in range(2))
    return y, u, v


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("encoding", ["yuv422_yuy2", "yuyv", "yuv422", "uyvy"])
def test_pairs_of_pixels_have_their_colours_together(encoding: str, padding: int) -> None:
    y, u, v = planes(HEIGHT)
    four = [y[:, ::2], u, y[:, 1::2], v]
    if encoding in ("yuv422", "uyvy"):
        four = [u, y[:, ::2], v, y[:, 1::2]]
    found = raw(encoding, flat(np.stack(four, axis=-1)), padding, rest=5).rgb()
    expected = yuv_to_rgb(y, np.repeat(u, 2, axis=1), np.repeat(v, 2, axis=1))
    assert np.abs(found - expected).max() < 2.0


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_a_plane_of_colours_follows_that_of_brightness(encoding: str, padding: int) -> None:
    y, u, v = planes(HEIGHT // 2)
    both = np.stack([u, v] if encoding == "nv12" else [v, u], axis=-1)
    found = raw(encoding, np.vstack([y, flat(both)]), padding, rest=5).rgb()
    u, v = (np.repeat(np.repeat(each, 2, axis=0), 2, axis=1) for each in (u, v))
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(found - yuv_to_rgb(y, u, v)).max() < 2.0


def mosaic(pattern: str, colours: Pixels) -> Pixels:
    """One number a pixel, of the colour that a sensor's filter has there."""
    found = np.empty(colours.shape[:2], colours.dtype)
    for place, letter in enumerate(pattern):
        row, column = divmod(place, 2)
        found[row::2, column::2] = colours[row::2, column::2, "rgb".index(letter)]
    return found


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_a_mosaic_is_filled_in(pattern: str, padding: int, is_bigendian: bool) -> None:
    """Of evenly rising colours, what is between two pixels of a colour is known exactly."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    ramps = [10 + 4 * row + 6 * column, 200 - 8 * row - 2 * column, 90 + 2 * row + 4 * column]
    colours = np.stack(ramps, axis=-1).astype(np.uint8)
    inside = slice(1, -1), slice(1, -1)  # the edge is repeated from there
    found = raw(f"bayer_{pattern}8", mosaic(pattern, colours), padding).rgb()
    np.testing.assert_array_equal(found[inside], colours[inside])
    wide = mosaic(pattern, colours.astype(np.uint16) * 257)
    found = raw(f"bayer_{pattern}16", wide, padding, is_bigendian=is_bigendian).rgb()
    np.testing.assert_array_equal(found[inside], colours[inside])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_does_not_hold_its_size_is_refused(encoding: str) -> None:
    wide = 2 if encoding.endswith("16") else 1
    size = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "8UC3": 3, "8UC4": 4, "yuv422_yuy2": 2}
    size |= {"yuyv": 2, "yuv422": 2, "uyvy": 2}
    short = encoding.removesuffix("16") if wide == 2 else encoding
    short = short.removesuffix("8") if short not in size else short
    step = WIDTH * wide * size.get(short, 1)
    rows = HEIGHT * 3 // 2 if encoding.startswith("nv") else HEIGHT
    data = bytes(rows * step)
    assert RawPicture(encoding, WIDTH, HEIGHT, step, data).rgb().shape == (HEIGHT, WIDTH, 3)
    huge = 2**32 - 2
    for width, height, stride, given in (
        (WIDTH, HEIGHT, step, data[:-1]),
        (WIDTH, HEIGHT, step - 1, data),
        (WIDTH, HEIGHT, step, b""),
        (WIDTH + 2, HEIGHT, step, data),
        (WIDTH, HEIGHT + 2, step, data),
        (0, HEIGHT, step, data),
        (WIDTH, 0, step, data),
        (huge, HEIGHT, huge, data),
        (WIDTH, huge, step, data),
        (WIDTH, HEIGHT, 0, data),
    ):
        with pytest.raises(ValueError, match=r"raw image of \d+ bytes does not hold"):
            RawPicture(encoding, width, height, stride, given).rgb()


@pytest.mark.parametrize("encoding", ["yuyv", "uyvy", "nv12", "nv21"])
def test_colours_of_pairs_need_an_even_size(encoding: str) -> None:
    with pytest.raises(ValueError, match=r"7x6 .* cannot be of odd size"):
        RawPicture(encoding, 7, 6, 100, bytes(2000)).rgb()


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_two_planes_need_an_even_height(encoding: str) -> None:
    with pytest.raises(ValueError, match=r"8x5 .* cannot be of odd size"):
        RawPicture(encoding, 8, 5, 100, bytes(2000)).rgb()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 2)])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_mosaic_that_is_too_small_is_refused(size: tuple[int, int], bits: int) -> None:
    width, height = size
    with pytest.raises(ValueError, match=f"{width}x{height} bayer_grbg{bits} is too small"):
        RawPicture(f"bayer_grbg{bits}", width, height, 12, bytes(12 * height)).rgb()


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "rgb8", "bgr8", "bgra8"])
def test_one_pixel_is_a_picture(encoding: str) -> None:
    found = RawPicture(encoding, 1, 1, 8, b"\xff" * 8).rgb()
    np.testing.assert_array_equal(found, np.full((1, 1, 3), 255))


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1", "nv24", "8UC2", "", "RGB8", "jpeg"])
def test_what_is_not_read_is_named_with_a_remedy(encoding: str) -> None:
    with pytest.raises(ValueError, match=f"encoding '{encoding}' is not read. Have the driver"):
        RawPicture(encoding, WIDTH, HEIGHT, 4 * WIDTH, bytes(4 * WIDTH * HEIGHT)).rgb()
