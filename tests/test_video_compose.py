from fractions import Fraction

import av
import numpy as np
import pytest
from drawn_clips import draw_frame
from drawn_models import blue_model

from skyseg_tf.errors import InputError
from skyseg_tf.images import overlay, overlay_sky
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.prediction import enlarge
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.masking.settings import SOFT_FORMATS
from skyseg_tf.masking.views import resize_probs
from skyseg_tf.video.compose import Composer, rgb_to_yuv
from skyseg_tf.video.formats import VIDEO_FORMATS
from skyseg_tf.video.frames import planes

SKY = SCHEMES["sky"]
CITY = SCHEMES["cityscapes19"]
COLORSPACES = {"ITU709": 1, "ITU601": 6}


def make_frame(index=3, size=(64, 96), space="ITU709", color_range="MPEG", layout="yuv420p"):
    frame = av.VideoFrame.from_ndarray(draw_frame(index, size)[0], "rgb24")
    frame = frame.reformat(format=layout, dst_colorspace=space, dst_color_range=color_range)
    frame.pts, frame.time_base = 7, Fraction(1, 25)
    return frame


def rgb(frame):
    return frame.to_ndarray(format="rgb24").astype(int)


def probs_of(truth):
    return truth[..., None].astype(np.float32)


@pytest.mark.parametrize("space", COLORSPACES)
@pytest.mark.parametrize("color_range", ["MPEG", "JPEG"])
def test_colors_in_yuv_equal_swscale(space, color_range):
    colors = np.array(CITY.colors, np.uint8)
    picture = np.repeat(np.repeat(colors[None], 8, 0), 8, 1)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
        format="yuv444p", dst_colorspace=space, dst_color_range=color_range
    )
    expected = np.stack([plane[4, 4::8] for plane in planes(frame)], -1)
    ours = rgb_to_yuv(colors, COLORSPACES[space], color_range == "JPEG")
    assert np.abs(ours - expected).max() < 1.5


@pytest.mark.parametrize("space", COLORSPACES)
@pytest.mark.parametrize("color_range", ["MPEG", "JPEG"])
def test_overlay_equals_the_one_in_rgb(space, color_range):
    frame, truth = make_frame(space=space, color_range=color_range), draw_frame(3)[1]
    before = [plane.copy() for plane in planes(frame)]
    out = Composer("overlay", SKY)(frame, probs_of(truth))
    tinted = overlay_sky(rgb(frame).astype(np.uint8), truth)
    difference = np.abs(rgb(out) - tinted)
    assert np.median(difference) <= 2
    assert difference.mean() < 4  # chroma is shared by four pixels at the edges
    assert out.pts == 7
    assert all((a == b).all() for a, b in zip(before, planes(frame), strict=True))


def test_overlay_of_many_classes():
    frame, truth = make_frame(), draw_frame(3)[1]
    ids = np.where(truth, 10, 2)  # sky, building
    ids[:, 48:] = np.where(truth[:, 48:], 10, 0)
    probs = np.eye(19, dtype=np.float32)[ids]
    out = Composer("overlay", CITY)(frame, probs)
    tinted = overlay(rgb(frame).astype(np.uint8), ids.astype(np.uint8), CITY.palette)
    assert np.abs(rgb(out) - tinted).mean() < 4
    colors = Composer("color", CITY)(frame, probs)
    difference = np.abs(rgb(colors) - CITY.palette[ids])
    assert np.median(difference) <= 2
    assert difference.mean() < 4


def test_masks_and_their_polarity():
    frame, truth = make_frame(), draw_frame(3)[1]
    for name, expected in (
        ("mask", truth * 255),
        ("keep-mask", (1 - truth) * 255),
        ("alpha8", np.where(truth, 153, 51)),
    ):
        probs = probs_of(truth) * 0.4 + 0.2
        out = Composer(name, SKY)(frame, probs)
        assert out.format.name == "gray"
        assert (planes(out)[0] == expected).all(), name


def test_transparency():
    frame, truth = make_frame(), draw_frame(3)[1]
    for name, alpha in (("rgba-sky", truth * 255), ("rgba-nosky", (1 - truth) * 255)):
        out = Composer(name, SKY)(frame, probs_of(truth))
        assert (planes(out)[3] == alpha).all()
        assert all((a == b).all() for a, b in zip(planes(out), planes(frame), strict=False))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_the_threshold_is_kept(threshold):
    ramp = np.linspace(0, 1, 96, dtype=np.float32)
    probs = np.broadcast_to(ramp, (64, 96))[..., None]
    out = Composer("mask", SKY, threshold=threshold)(make_frame(), probs)
    assert (planes(out)[0] > 0).mean() == pytest.approx(1 - threshold, abs=0.015)


@pytest.mark.parametrize("name", VIDEO_FORMATS)
def test_a_threshold_changes_what_predict_takes_it_for(name):
    probs = np.full((64, 96, 1), 0.5, np.float32)
    low, high = (Composer(name, SKY, threshold=limit)(make_frame(), probs) for limit in (0.3, 0.8))
    same = all((a == b).all() for a, b in zip(planes(low), planes(high), strict=True))
    assert same == (name in SOFT_FORMATS)


def test_pixels_that_are_surely_no_sky_are_none_at_the_lowest_threshold():
    probs = np.zeros((64, 96, 1), np.float32)
    probs[:32] = 0.01
    (mask,) = planes(Composer("mask", SKY, threshold=0.001)(make_frame(), probs))
    (ids,) = planes(Composer("labelids", SKY, threshold=0.001)(make_frame(), probs))
    assert (mask[:32] == 255).all()
    assert not mask[32:].any()
    assert ((ids == 23) == (mask == 255)).all()


@pytest.mark.parametrize("name", VIDEO_FORMATS)
def test_frames_show_sky_where_it_is_drawn(name):
    """Sky that is the most probable class, at less than the threshold."""
    probs = np.full((8, 12, 19), 0.55 / 18, np.float32)
    probs[..., 10] = 0.45
    wins = name in ("overlay", "color", "labelids")
    assert Composer(name, CITY).shows_sky(probs) == wins
    assert Composer(name, CITY, threshold=0.4).shows_sky(probs)
    if name == "labelids":
        assert (planes(Composer(name, CITY)(make_frame(), probs))[0] == 23).all()
    if name == "mask":
        assert not planes(Composer(name, CITY)(make_frame(), probs))[0].any()
    for sky in (0.45, 0.55):
        alone = np.full((8, 12, 1), sky, np.float32)
        assert Composer(name, SKY).shows_sky(alone) == (sky > 0.5)


def test_edges_of_a_small_mask_run_through_its_pixels():
    """A diagonal edge, enlarged eight times, must not come in blocks of eight."""
    rows, columns = np.mgrid[:8, :12]
    probs = np.clip((columns - rows - 1) / 2 + 0.5, 0, 1).astype(np.float32)[..., None]
    (mask,) = planes(Composer("mask", SKY)(make_frame(), probs))
    begins = (mask > 0).argmax(1)[8:56]
    assert np.abs(np.diff(begins)).max() <= 2
    many = np.zeros((8, 12, 19), np.float32)
    many[..., [2, 10]] = np.concatenate([1 - probs, probs], -1)
    (luma, *_) = planes(Composer("color", CITY)(make_frame(), many))
    sky = np.abs(luma.astype(int) - luma[0, -1]) < 5
    assert np.abs(np.diff(sky.argmax(1)[8:56])).max() <= 2


def test_colors_of_classes_lie_where_planes_of_color_have_their_samples():
    """Between two rows, of which none is preferred, and on every second column."""
    composer, below = Composer("color", CITY), []

    def blue_plane(first: int, rows: int, columns: int) -> np.ndarray:
        ids = np.full((64, 96), 10 - first)
        ids[:rows, :columns] = first
        return planes(composer(make_frame(), np.eye(19, dtype=np.float32)[ids]))[1]

    for edge in range(20, 28):
        for first in (0, 10):
            plane = blue_plane(first, edge, 96)
            below.append(2 * (plane == plane[0]).all(1).sum() - edge)
        plane = blue_plane(0, 64, edge)
        assert ((plane == plane[0, 0]) == (np.arange(0, 96, 2) < edge)).all()
    assert np.mean(below) == 0


@pytest.mark.parametrize("layout", ["yuv422p", "yuv444p", "yuv420p10le", "rgb24"])
@pytest.mark.parametrize("size", [(64, 96), (63, 95)])
def test_other_layouts_and_odd_sizes(layout, size):
    frame, truth = make_frame(size=size, layout=layout), draw_frame(3, size)[1]
    for name in VIDEO_FORMATS:
        out = Composer(name, SKY)(frame, probs_of(truth))
        height, width = size if out.format.name == "gray" else (size[0] & ~1, size[1] & ~1)
        assert (out.height, out.width) == (height, width)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="videos have no format 'coco'"):
        Composer("coco", SKY)
    with pytest.raises(InputError, match="needs a class 'sky'"):
        Composer("mask", SCHEMES["streets11"])


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_classes_are_those_of_photos_within_the_rounding_to_bytes(tmp_path, threshold):
    """Bytes instead of floats: a class may only differ where two are next to equal."""
    size, rng = (181, 301), np.random.default_rng(0)
    for scheme in (SKY, CITY):
        runtime = load_runtime(blue_model(tmp_path / f"{scheme.name}.onnx", scheme=scheme.name))
        probs = rng.dirichlet(np.ones(max(2, scheme.num_logits)), (23, 38)).astype(np.float32)
        probs = np.ascontiguousarray(probs[..., : scheme.num_logits])
        photo = np.zeros((*size, 3), np.uint8)
        ids = enlarge(runtime, photo, probs, refined=False, threshold=threshold).ids
        composer = Composer("labelids", scheme, threshold=threshold)
        (drawn,) = planes(composer(make_frame(size=size), probs))
        differs = drawn != scheme.label_ids[ids]
        full = np.sort(resize_probs(probs, size), -1)
        margin = abs(full[..., -1] - (threshold if scheme is SKY else full[..., -2]))
        assert margin[differs].max(initial=0) < 2.5 / 255
        assert differs.mean() < 0.05
