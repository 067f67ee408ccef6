"""Bodies of requests on their way here: any number of clients, a bounded number of bytes.

A client that stalls holds no place in the queue, only the bytes that it has sent. Where these grow
too many together, the upload that is longest on its way gives way: whoever stalls gets there soon,
whoever sends is through before.
"""

import asyncio
from dataclasses import dataclass, field

from fastapi import Request
from starlette.requests import ClientDisconnect

from skyseg_tf.server.requests import Refusal, busy

STALL_SECONDS = 5.0  # without one byte


@dataclass(eq=False)
class _Upload:
    deadline: asyncio.Timeout
    body: bytearray = field(default_factory=bytearray)
    must_go: bool = False


class Uploads:
    """The bodies that are being read.

    Attributes:
      limit: bytes of one body.
      seconds: that a body may take.
      room: bytes of all of them together.
      held: bytes of them here now.
    """

    def __init__(self, limit: int, seconds: float, room: int) -> None:
        """Starts without any; `room` is at least `limit`."""
        self.limit, self.seconds, self.room, self.held = limit, seconds, room, 0
        self._on_way: list[_Upload] = []  # the one that began first comes first

    async def read(self, request: Request) -> bytes:
        """The request's bytes.

        A body that is too large is read to its end and dropped, as far as four times the limit: a
        connection closed upon bytes on their way is reset, and takes the answer with it.

        Raises:
          Refusal: 413 above the limit, announced or sent; 408 when they take too long or stall; 503
            where there is no room for them; 499 where the client has hung up.
        """
        limit = self.limit
        too_large = Refusal(
            413, "too_large", f"the request exceeds {limit / 1e6:g} MB; send a smaller photo"
        )
        header = request.headers.get("content-length", "0")
        announced = int(header) if header.isdecimal() else 0
        if announced > 4 * limit:
            raise too_large
        size, now = 0, asyncio.get_running_loop().time
        end = now() + self.seconds
        deadline = asyncio.timeout_at(min(end, now() + STALL_SECONDS))
        upload = _Upload(deadline)
        self._on_way.append(upload)
        try:
            async with deadline:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > 4 * limit:
                        break
                    self._keep(upload, chunk if size <= limit else None)
                    if not upload.must_go:
                        deadline.reschedule(min(end, now() + STALL_SECONDS))
        except TimeoutError:
            if max(announced, size) > limit:
                raise too_large from None
            raise busy(1) if upload.must_go else self._too_slow(now() >= end) from None
        except ClientDisconnect:
            raise Refusal(499, "gone", "the client hung up before its photo was here") from None
        finally:
            self.held -= len(upload.body)
            self._on_way.remove(upload)
        if size > limit:
            raise too_large
        return bytes(upload.body)

    def _keep(self, upload: _Upload, chunk: bytes | None) -> None:
        """Adds to a body, or drops it; asks those that began first to go where there is no room."""
        if chunk is None:
            self.held -= len(upload.body)
            upload.body.clear()
            return
        upload.body += chunk
        self.held += len(chunk)
        excess = self.held - self.room
        for oldest in self._on_way:
            if excess <= 0:
                break
            excess -= len(oldest.body)
            # Those whose time is up go anyway.
            if not (oldest.must_go or oldest.deadline.expired()):
                oldest.must_go = True
                oldest.deadline.reschedule(0)  # its task wakes up with a TimeoutError

    def _too_slow(self, is_over: bool) -> Refusal:
        told = f"took over {self.seconds:g} s to arrive"
        if not is_over:
            told = f"stalled: not one byte came for {STALL_SECONDS:g} s"
        return Refusal(408, "too_slow", f"the photo {told}; send it again")
