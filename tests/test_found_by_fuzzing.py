"""Files of the kinds that `make fuzz` has found, each drawn here: one line each."""

import json
import shutil
import zipfile

import keras
import pytest
import tensorflow as tf
from drawn_clips import write_clip

from skyseg_tf.build import build
from skyseg_tf.data.records import read_tfrecord
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import InputError
from skyseg_tf.runs.folder import read_run_data
from skyseg_tf.scoring.comparison import compare_evaluations
from skyseg_tf.training.checkpoints import load_checkpoint, load_initial_weights
from skyseg_tf.video.read import VideoReader


def test_a_video_of_an_unknown_codec(tmp_path):
    """Ended in a traceback: such a stream has no decoder that could tell its size."""
    path = write_clip(tmp_path / "a.mov", 2)
    content = path.read_bytes()
    assert content.count(b"avc1") >= 1
    path.write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError, match=r"a\.mov: its video is of a codec unknown here"):
        VideoReader(path)


def test_a_record_that_is_none_and_is_no_text(records, tmp_path):
    """Ended in a UnicodeDecodeError: TensorFlow quotes the bytes that it cannot parse."""
    found = next(iter(tf.data.TFRecordDataset(str(next(records.glob("train*"))))))
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(found.numpy())
        writer.write(b"\x0a\x8d\xff\xfe" * 9)
    with pytest.raises(InputError, match=r"a\.tfrecord: record 1: "):
        list(read_tfrecord([str(path)]))


def test_settings_of_another_build_that_hold_a_line_break(tree, records, tmp_path):
    """Its error had several lines."""
    out = tmp_path / "records"
    shutil.copytree(records, out)
    told = json.loads((out / "build.json").read_text())
    (out / "build.json").write_text(json.dumps(told | {"frames": "a\nb"}))
    with pytest.raises(InputError, match=r"frames was a\\nb, now 1") as refused:
        build(BuildConfig(out=out, source=tree, image_size=(32, 64), storage="uint8", quiet=True))
    assert "\n" not in str(refused.value)


def test_a_run_whose_records_have_no_name_that_a_file_can_have(tmp_path):
    """Ended in a UnicodeEncodeError."""
    (tmp_path / "config.json").write_text(json.dumps({"records": "\ud800"}))
    with pytest.raises(InputError, match=r"\\ud800.*: no name of a file"):
        read_run_data(tmp_path)


@pytest.mark.parametrize("change", [{"network": None}, {"input_size": None}, {"sky": {"iou": 1.0}}])
def test_evaluations_without_what_is_compared(tmp_path, change):
    """Ended in a KeyError."""
    scores = {"protocol": "p", "iou": {"sky": 1.0}, "mean_iou": 1.0, "protocol_facts": {}}
    scores |= {"network": "n", "input_size": [32], "pixel_accuracy": 1.0} | change
    path = tmp_path / "evaluation" / "val" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({key: value for key, value in scores.items() if value is not None}))
    with pytest.raises(InputError, match="its evaluation is damaged; evaluate the run again"):
        compare_evaluations([tmp_path, tmp_path], "val")


@pytest.mark.parametrize("header", [b"no array", b"\x93NUMPY\x01\x00\x0c\x00{'descr': (( "])
def test_a_checkpoint_with_a_member_that_is_no_array(tmp_path, header):
    """Ended in an AttributeError, and in a TokenError."""
    path = tmp_path / "last.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v0:kernel.npy", header)
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, keras.layers.Conv2D(1, 1)(pixels))
    for read in (load_initial_weights, load_checkpoint):
        with pytest.raises(InputError, match="not a whole checkpoint"):
            read(path, model)


def test_a_message_that_quotes_several_lines_is_one():
    """Names in archives and values in JSON files may hold line breaks."""
    assert str(InputError("a\nb.png: is damaged")) == r"a\nb.png: is damaged"
