import os
import time
from itertools import pairwise

import numpy as np
import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.video.camera import Camera


class FakeCapture:
    """A camera of 100 fps; frame i is of brightness i, and every tenth fails."""

    opened, total = True, 60

    def __init__(self, index):
        self.index, self.count, self.released = index, -1, False

    def isOpened(self):
        return self.opened

    def get(self, _):
        return 100.0

    def read(self):
        time.sleep(0.01)
        self.count += 1
        if self.count >= self.total or self.count % 10 == 9:
            return False, None
        return True, np.full((48, 64, 3), self.count, np.uint8)

    def release(self):
        self.released = True


def test_a_slow_consumer_gets_the_newest_camera_frame():
    camera = Camera(0, capture=FakeCapture)
    seen, ages = [], []
    for moment in camera:
        seen.append(round(float(moment.frame.to_ndarray(format="gray").mean())))
        ages.append(camera._capture.count - seen[-1])
        time.sleep(0.05)
        if len(seen) == 6:
            break
    camera.close()
    assert camera._capture.released
    assert ages[-1] <= 8  # with a queue it would be some 25
    assert camera.missed >= 10
    assert all(b > a for a, b in pairwise(seen))


def test_a_camera_that_goes_away_ends_the_stream():
    camera = Camera(0, capture=FakeCapture, patience=0.3)
    frames = [moment.frame for moment in camera]
    camera.close()
    assert 2 <= len(frames) <= 60
    assert all(b.pts > a.pts for a, b in pairwise(frames))
    assert camera.skipped >= 10


def test_no_camera_is_said_clearly():
    with pytest.raises(InputError, match="camera 0: not there; is it plugged in"):
        Camera(0, capture=type("Closed", (FakeCapture,), {"opened": False}))
    with pytest.raises(InputError, match="camera 0: no frame from it"):
        Camera(0, capture=type("Blind", (FakeCapture,), {"total": 0}))
    if not os.path.exists("/dev/video0"):
        with pytest.raises(InputError, match="not there"):
            Camera(0)
