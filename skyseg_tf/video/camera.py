"""Cameras: always the newest frame, so that nothing lags behind."""

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import cv2

from skyseg_tf.errors import InputError
from skyseg_tf.video.frames import Moment, VideoInfo

CAMERA_CLOCK = Fraction(1, 90_000)  # seconds per tick of the time stamps


class Camera:
    """The newest frame of a camera, whenever one is asked for: who is slow misses frames.

    Attributes:
      info: see VideoInfo.
      skipped: frames that the camera failed to deliver.
      missed: frames that came while the last ones were at work.
      missing: none; nobody announced any.
    """

    audio_streams, missing = (), 0

    def __init__(self, index: int, *, capture: Callable = cv2.VideoCapture, patience: float = 5.0):
        """Opens the camera and waits for its first frame.

        Args:
          index: 0 is the first camera.
          capture: makes an object with cv2.VideoCapture's read, isOpened, get and release.
          patience: seconds without a frame after which the camera counts as gone.

        Raises:
          InputError: no such camera, or it gives no frame.
        """
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._capture = capture(index)
        finally:
            cv2.utils.logging.setLogLevel(level)
        found, frame = self._capture.read() if self._capture.isOpened() else (False, None)
        if not found:
            self._capture.release()
            raise InputError(
                f"camera {index}: {'no frame from it' if self._capture.isOpened() else 'not there'}; "
                "is it plugged in, free, and may you read it (/dev/video*)?"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.info = VideoInfo(
            size=frame.shape[:2],
            rate=Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else Fraction(30),
            time_base=CAMERA_CLOCK,
        )
        self.skipped = self.missed = 0
        self._patience = patience
        self._start = time.monotonic()
        self._newest = (frame, 0.0)
        self._news, self._closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._watch, name="camera", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        last = now = self._start
        while not self._closed and now - last < self._patience:  # unplugged, it fails for ever
            found, frame = self._capture.read()
            now = time.monotonic()
            with self._news:
                if found:
                    last = now
                    self.missed += self._newest is not None
                    self._newest = (frame, now - self._start)
                else:
                    self.skipped += 1
                self._news.notify()
            if not found:
                time.sleep(0.01)
        with self._news:
            self._closed = True
            self._news.notify()

    def __iter__(self) -> Iterator[Moment]:
        """Yields the newest frame, each at most once, until the camera is closed or gone."""
        last = -1
        while True:
            with self._news:
                # A driver that hangs, in `read`, tells nothing at all.
                self._news.wait_for(lambda: self._newest or self._closed, self._patience)
                if self._newest is None:
                    return
                (picture, seconds), self._newest = self._newest, None
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", threads=1
            )
            frame.pts = last = max(last + 1, round(seconds / CAMERA_CLOCK))
            frame.time_base = CAMERA_CLOCK
            yield Moment(frame)

    def close(self) -> None:
        """Lets the camera go, unless its driver hangs."""
        self._closed = True
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._capture.release()
