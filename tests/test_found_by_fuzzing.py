"""Files of the kinds that `make fuzz` has found, each drawn here: one line each."""

import pytest
from drawn_clips import write_clip

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
