import pathlib

import numpy as np
import pytest

from skyseg_tf.data import rgb_stats as rs
from skyseg_tf.errors import InputError
from skyseg_tf.images import write_image


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    paths, arrays = [], []
    for i in range(7):
        image = rng.integers(0, 40 * (i + 1) - 25, (33, 47, 3)).astype(np.uint8)
        paths.append(tmp_path / f"{i}.png")
        write_image(paths[-1], image)
        arrays.append(image)
    return paths, np.stack(arrays)


@pytest.mark.parametrize("workers", [1, 3])
def test_equals_numpy_over_the_stack(photos, workers):
    paths, stack = photos
    stats = rs.compute_rgb_stats(paths, workers=workers)
    means, stds = stack.mean((0, 1, 2), np.float64), stack.std((0, 1, 2), np.float64)
    for i, channel in enumerate("RGB"):
        assert abs(stats[f"{channel}_MEAN"] - means[i]) < 1e-9
        assert abs(stats[f"{channel}_STD"] - stds[i]) < 1e-9


def test_sums_of_a_white_cityscapes_photo_do_not_overflow():
    sums = rs.sum_image(np.full((1024, 2048, 3), 255, np.uint8))
    assert sums.squares == (255 * 255 * 1024 * 2048,) * 3


def test_sums_are_exact_beyond_what_a_float32_counts():
    image = np.random.default_rng(1).integers(0, 256, (4200, 4200, 3), np.uint8)
    image[..., 1] = 255  # 17.6 million of one value
    sums, channels = rs.sum_image(image), image.reshape(-1, 3).T.astype(np.uint64)
    assert sums.pixels == 4200**2
    assert sums.values == tuple(int(channel.sum()) for channel in channels)
    assert sums.squares == tuple(int((channel**2).sum()) for channel in channels)


def test_constant_channel_can_be_normalized_by():
    stats = rs.rgb_stats(rs.sum_image(np.full((4, 4, 3), 9, np.uint8)))
    assert stats["R_STD"] == 1.0
    assert (rs.normalize(np.full((4, 4, 3), 9, np.uint8), stats) == 0).all()


def test_black_photos_can_be_normalized_by():
    """All six numbers are small, and yet on the scale 0-255."""
    stats = rs.rgb_stats(rs.sum_image(np.zeros((4, 4, 3), np.uint8)))
    assert stats == dict(zip(rs._KEYS, (0, 0, 0, 1, 1, 1), strict=True))
    assert rs.check_rgb_stats(stats, "rgb_data") == stats
    white = stats | {"R_MEAN": 255}
    assert rs.check_rgb_stats(white, "rgb_data") == white


def test_round_trip_is_exact_for_every_value():
    stats = dict(zip(rs._KEYS, (73.2, 82.9, 72.4, 44.9, 46.15, 45.3), strict=True))
    image = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    assert np.array_equal(rs.denormalize(rs.normalize(image, stats), stats), image)


def test_file_round_trip_and_errors(tmp_path):
    stats = dict(zip(rs._KEYS, (1.5, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
    rs.write_rgb_stats(tmp_path / "s.json", stats, split="train")
    assert rs.read_rgb_stats(tmp_path / "s.json") == stats
    (tmp_path / "s.json").write_text('{"R_MEAN": 1}')
    with pytest.raises(InputError, match="G_MEAN is missing"):
        rs.read_rgb_stats(tmp_path / "s.json")
    with pytest.raises(InputError, match="train split is empty"):
        rs.rgb_stats(rs.RgbSums())


GOOD = dict(zip(rs._KEYS, (73.2, 82.9, 72.4, 44.9, 46.15, 45.3), strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rgb_stats.json", "is no dict of R_MEAN.*'rgb_stats.json'; give what load_image_rgb_data"),
        (pathlib.Path("rgb_stats.json"), "is no dict"),
        ([1, 2, 3, 4, 5, 6], "is no dict"),
        ({key: GOOD[key] for key in rs._KEYS[:5]}, "B_STD is missing"),
        ({key.lower(): value for key, value in GOOD.items()}, "R_MEAN is missing"),
        (GOOD | {"G_STD": float("nan")}, "G_STD is 'nan', no standard deviation on the scale"),
        (GOOD | {"G_STD": 0}, "G_STD is '0'"),
        (GOOD | {"G_STD": -4.0}, "G_STD is '-4.0'"),
        (GOOD | {"R_MEAN": float("inf")}, "R_MEAN is 'inf', no mean"),
        (GOOD | {"R_MEAN": "73.2"}, "R_MEAN is '73.2'"),
        (GOOD | {"R_MEAN": None}, "R_MEAN is 'None'"),
        (GOOD | {"R_MEAN": True}, "R_MEAN is 'True'"),
        (GOOD | {"R_MEAN": 10**400}, "R_MEAN is '1000"),
        (GOOD | {"R_MEAN": np.zeros(3)}, "R_MEAN is"),
        ({key: value / 255 for key, value in GOOD.items()}, "on the scale 0-1; multiply"),
    ],
)
def test_what_cannot_be_normalized_by(given, message):
    with pytest.raises(InputError, match=f"rgb_data.*{message}") as error:
        rs.check_rgb_stats(given, "rgb_data")
    assert "\n" not in str(error.value)


def test_further_keys_and_numpy_numbers_are_welcome():
    given = {key: np.float32(value) for key, value in GOOD.items()} | {"count": 3, "split": "x"}
    checked = rs.check_rgb_stats(given, "rgb_data")
    assert list(checked) == list(rs._KEYS)
    assert all(type(value) is float for value in checked.values())


@pytest.mark.parametrize("text", ["", "[1]", '{"R_MEAN": NaN}', "\x89PNG", "[" * 100_000])
def test_files_that_are_no_statistics(tmp_path, text):
    path = tmp_path / "rgb_stats.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"rgb_stats\.json: .*skyseg build") as error:
        rs.read_rgb_stats(path)
    assert "\n" not in str(error.value)


def test_bytes_are_looked_up_to_the_bit():
    """A table of 256 values a channel gives what the arithmetic gives."""
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image[..., 1] = image[::-1, :, 1]
    stats = {"R_MEAN": 73.1234, "G_MEAN": 82.9, "B_MEAN": 72.41}
    stats |= {"R_STD": 47.333, "G_STD": 48.7777, "B_STD": 49.1234}
    computed = rs.normalize(image.astype(np.float32), stats)
    assert np.array_equal(rs.normalize(image, stats).view(np.uint32), computed.view(np.uint32))
