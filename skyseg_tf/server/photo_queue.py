"""Few photos are in work at once, a bounded number waits, the rest is told when to come again.

A place is taken when a photo is here whole: whoever is slow to send it keeps nobody out.
"""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fastapi import Request
from fastapi.responses import Response

from skyseg_tf.masking.formats import FORMATS
from skyseg_tf.masking.prediction import enlarge, infer
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.server.answers import encode
from skyseg_tf.server.metrics import ServeMetrics
from skyseg_tf.server.requests import Refusal, busy, find_photo, read_photo
from skyseg_tf.server.settings import ServeConfig
from skyseg_tf.server.uploads import Uploads


class PhotoQueue:
    """Where photos wait for the network.

    Attributes:
      waiting: photos that wait or are in work.
      capacity: how many that may be.
      uploads: photos on their way here, of as many bytes as those that wait may have.
    """

    def __init__(self, config: ServeConfig, runtime: Runtime):
        """Starts the worker threads."""
        self.config, self.runtime = config, runtime
        self.waiting, self.capacity = 0, config.workers + config.queue
        limit = int(config.max_megabytes * 1e6)
        self.uploads = Uploads(limit, config.upload_seconds, limit * self.capacity)
        self.metrics = ServeMetrics(lambda: self.waiting, self.capacity)
        self.pool = ThreadPoolExecutor(config.workers, "mask")

    async def answer(self, request: Request, body: bytes, wanted: str, **options) -> Response:
        """The answer to POST /mask, whose body is here; `options` are those of `enlarge`.

        Raises:
          Refusal: for what is no photo, too large a one, or one too many.
        """
        name, content = await find_photo(request, body)
        return await self._in_turn(request, partial(self._mask, name, content, wanted, **options))

    async def _in_turn(self, request: Request, work: Callable[[], Response]) -> Response:
        """What the work gives, done in a worker thread; a place is held as long as it is there.

        Raises:
          Refusal: 503 where there is no place; 499 where the client hangs up before its turn, and
            its place is free at once.
        """
        if self.waiting >= self.capacity:
            raise busy(max(1, math.ceil(self.metrics.mean_seconds * self.waiting)))
        self.waiting += 1
        job = self.pool.submit(work)
        done, gone = asyncio.wrap_future(job), asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and job.cancel():  # what is in work cannot be stopped
                raise Refusal(499, "gone", "the client hung up before its photo's turn")
            return await done
        finally:
            gone.cancel()
            self.waiting -= 1

    def _mask(self, name: str, content: bytes, wanted: str, **options) -> Response:
        """The whole way of a photo, in a worker thread."""
        photo = read_photo(name, content, self.config.max_megapixels * 1e6)
        start = time.perf_counter()
        probs = infer(self.runtime, [photo.image])[0]
        height, width = photo.image.shape[:2]
        self.metrics.count_photo(height * width, time.perf_counter() - start)
        kept = {"metadata": photo.metadata, "keep_sky": FORMATS[wanted].needs_probabilities}
        prediction = enlarge(self.runtime, photo.image, probs, **kept, **options)
        return encode(wanted, name, prediction)

    def close(self) -> None:
        """Ends the threads; whoever waits for a photo still has been waited for by then."""
        self.pool.shutdown(wait=False, cancel_futures=True)


async def _hung_up(request: Request) -> None:
    """Returns when the client has hung up, or has its answer."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
