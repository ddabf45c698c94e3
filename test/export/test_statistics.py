"""The statistics that LeRobot wants, against numpy's of all at once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.export.statistics import (
    QUANTILES,
    NumberStatistics,
    PictureStatistics,
    levels_of,
    quantile_names,
)


def numbers(frames: int) -> NDArray[np.float64]:
    """Far from zero, as times are, where differences of squares would be all wrong."""
    return 1.7e9 + np.random.default_rng(3).normal(size=(frames, 3)) * (1.0, 10.0, 0.0)


def assert_like(found: dict[str, list[float]], values: NDArray[np.float64], frames: int) -> None:
    np.testing.assert_array_equal(found["min"], values.min(axis=0))
    np.testing.assert_array_equal(found["max"], values.max(axis=0))
    np.testing.assert_allclose(found["mean"], values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found["std"], values.std(axis=0), rtol=1e-6, atol=1e-6)
    assert found["count"] == [frames]


def statistics_of(values: NDArray[np.float64]) -> dict[str, list[float]]:
    statistics = NumberStatistics(3)
    for row in values:
        statistics.add(row)
    return statistics.result()


def test_of_few_frames_all_is_exact() -> None:
    values = numbers(1000)
    found = statistics_of(values)
    assert_like(found, values, 1000)
    for name, quantile in zip(quantile_names(), QUANTILES, strict=True):
        np.testing.assert_array_equal(found[name], np.quantile(values, quantile, axis=0))


def test_of_many_frames_the_quantiles_are_near() -> None:
    values = numbers(20_000)
    found = statistics_of(values)
    assert_like(found, values, 20_000)
    for name, quantile in zip(quantile_names(), QUANTILES, strict=True):
        below = (values <= found[name]).mean(axis=0)
        np.testing.assert_allclose(below[:2], quantile, atol=0.04)


def test_steps_of_a_chunk_are_frames_together() -> None:
    values = numbers(80)
    statistics = NumberStatistics(3)
    for chunk in values.reshape(10, 8, 3):
        statistics.add(chunk)
    assert_like(statistics.result(), values, 10)


def test_one_frame_has_no_deviation() -> None:
    statistics = NumberStatistics(1, whole=True)
    statistics.add(np.asarray(7))
    expected = {"min": [7], "max": [7], "mean": [7.0], "std": [0.0], "count": [1]}
    assert statistics.result() == expected | {name: [7.0] for name in quantile_names()}
    assert isinstance(statistics.result()["min"][0], int)


def test_pictures_are_counted_by_channel() -> None:
    generator = np.random.default_rng(4)
    pictures = [generator.integers(0, high, (48, 64, 3), np.uint8) for high in (256, 100)]
    coded = [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures]  # loses nothing
    statistics = PictureStatistics()
    for each in coded:
        statistics.add(levels_of(each))
    found = statistics.result()
    pixels = np.stack(pictures)[..., ::-1].reshape(-1, 3) / 255.0
    for name, expected in (
        ("min", pixels.min(axis=0)),
        ("max", pixels.max(axis=0)),
        ("mean", pixels.mean(axis=0)),
        ("std", pixels.std(axis=0)),
        ("q50", np.quantile(pixels, 0.5, axis=0, method="inverted_cdf")),
        ("q99", np.quantile(pixels, 0.99, axis=0, method="inverted_cdf")),
    ):
        assert np.array(found[name]).shape == (3, 1, 1)
        np.testing.assert_allclose(np.ravel(found[name]), expected, rtol=1e-9, atol=1e-12)
    assert found["count"] == [2]


def test_of_a_large_picture_not_all_pixels_are_looked_at() -> None:
    picture = np.full((720, 1280, 3), 10, np.uint8)
    levels = levels_of(cv2.imencode(".jpg", picture)[1].tobytes())
    assert 150 * 80 <= levels.sum() / 3 <= 160 * 90


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xd9", b"no picture"])
def test_what_is_no_picture_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        levels_of(data)
