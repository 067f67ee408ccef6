"""Files of the kinds that `make fuzz` has found, each drawn here: one line each."""

import pytest
import tensorflow as tf
from drawn_clips import write_clip

from skyseg_tf.data.records import read_tfrecord
from skyseg_tf.errors import InputError
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
