"""Few photos are in work at once, a bounded number waits, the rest is told when to come again."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Request
from fastapi.responses import Response

from skyseg_tf.masking.prediction import enlarge, infer
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.server.answers import encode
from skyseg_tf.server.metrics import ServeMetrics
from skyseg_tf.server.requests import Refusal, find_photo, read_body, read_photo
from skyseg_tf.server.settings import ServeConfig


class PhotoQueue:
    """Where photos wait for the network.

    Attributes:
      waiting: photos that wait or are in work, those still on the way here too.
      capacity: how many that may be.
    """

    def __init__(self, config: ServeConfig, runtime: Runtime):
        """Starts the worker threads."""
        self.config, self.runtime = config, runtime
        self.waiting, self.capacity = 0, config.workers + config.queue
        self.metrics = ServeMetrics(lambda: self.waiting, self.capacity)
        self.pool = ThreadPoolExecutor(config.workers, "mask")

    @asynccontextmanager
    async def place(self):
        """Holds a place in the queue.

        Raises:
          Refusal: 503 where there is none.
        """
        if self.waiting >= self.capacity:
            seconds = max(1, math.ceil(self.metrics.mean_seconds * self.waiting))
            raise Refusal(
                503,
                "busy",
                f"{self.waiting} photos are waiting already; come again in {seconds} s",
                {"Retry-After": str(seconds)},
            )
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def answer(self, request: Request, wanted: str, **options) -> Response:
        """The answer to POST /mask; `options` are those of `enlarge`.

        Raises:
          Refusal: for what is no photo, too large a one, or one too many.
        """
        async with self.place():
            limit = int(self.config.max_megabytes * 1e6)
            content = await read_body(request, limit, self.config.upload_seconds)
            name, content = await find_photo(request, content)
            work = partial(self._mask, name, content, wanted, **options)
            return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def _mask(self, name: str, content: bytes, wanted: str, **options) -> Response:
        """The whole way of a photo, in a worker thread."""
        photo = read_photo(name, content, self.config.max_megapixels * 1e6)
        start = time.perf_counter()
        probs = infer(self.runtime, [photo.image])[0]
        height, width = photo.image.shape[:2]
        self.metrics.count_photo(height * width, time.perf_counter() - start)
        prediction = enlarge(self.runtime, photo.image, probs, metadata=photo.metadata, **options)
        return encode(wanted, name, prediction)

    def close(self) -> None:
        """Ends the threads; whoever waits for a photo still has been waited for by then."""
        self.pool.shutdown(wait=False, cancel_futures=True)
