"""HTTP connections whose clients must keep up: headers and bodies in time, and answers taken.

Uvicorn waits for ever for the rest of a request's headers, for what is left of a body that it has
answered already, and for a client that does not read its answer; each such client holds a
connection, and its answer in memory.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from skyseg_tf.server.requests import Refusal, busy

try:
    import resource
except ModuleNotFoundError:  # Windows counts no open files
    resource = None

HEADER_SECONDS = 10.0  # for all headers of a request
REST_SECONDS = 30.0  # for what is left of a body whose request is answered
READ_SECONDS = 20.0  # without one byte of the answer taken
LINGER_SECONDS = 1.0  # for what a refused client had on its way
_FILES_BESIDE = 100  # open files that the process may need for other things
_MOST_LINGERING = 50  # of these, beyond the most connections
_MOST = 1000


def most_connections() -> int:
    """How many clients may be connected: each takes an open file, of which a process has few."""
    if resource is None:
        return _MOST
    return max(1, min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _FILES_BESIDE))


class PunctualConnection(H11Protocol):
    """A connection that is closed where its client does not keep up."""

    _deadline: asyncio.TimerHandle | None = None  # of headers
    _rest: asyncio.TimerHandle | None = None  # the end of waiting for an answered request's body
    _linger: asyncio.TimerHandle | None = None  # the end of a refused client

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Waits for the first headers, or refuses the client where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(busy(1, "connections"))
        else:
            self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Begins to wait for headers with their first byte, and ends with their last."""
        if self._linger:
            return
        super().data_received(data)
        if not self._is_answered_early():
            self._wait_for_no_rest()
        if self.conn.their_state is not h11.IDLE or self._linger or self.transport.is_closing():
            self._wait_no_more()
        elif self._deadline is None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all waiting."""
        self._wait_no_more()
        self._wait_for_no_rest()
        if self._linger:
            self._linger.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Watches how the client takes its answer, which by now is all in the buffer.

        Waits for what is left of its body, too: uvicorn's own timer ends with one byte of it.
        """
        super().on_response_complete()
        if self._is_answered_early():
            self._rest = self.loop.call_later(REST_SECONDS, self.transport.close)
        self._watch_reader(self.transport.get_write_buffer_size())

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP, as JSON like all others."""
        self._refuse(Refusal(400, "bad_request", "this is no HTTP request"))

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._headers_missing)

    def _wait_no_more(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _is_answered_early(self) -> bool:
        """Whether a request has its answer, and is still on its way."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _wait_for_no_rest(self) -> None:
        if self._rest:
            self._rest.cancel()
            self._rest = None

    def _headers_missing(self) -> None:
        self._deadline = None
        told = f"the request's headers took over {HEADER_SECONDS:g} s to arrive"
        self._refuse(Refusal(408, "too_slow", told))

    def _watch_reader(self, left: int) -> None:
        """Hangs up where nothing of what is left of the answer has been taken after a while."""
        if left:
            self.loop.call_later(READ_SECONDS, self._check_reader, left)

    def _check_reader(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._watch_reader(left)

    def _refuse(self, refusal: Refusal) -> None:
        """Answers without the application, and closes the connection.

        Where an answer has begun already, h11 has no room for another one: the client only sees
        the connection end. What it still has on its way is taken for a moment: a connection closed
        upon bytes that nobody read is reset, and the answer may be lost with it.
        """
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = refusal.answer()
            lines = [b"HTTP/1.1 %d " % answer.status_code]
            lines += [b"%s: %s" % header for header in answer.raw_headers]
            self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
        if len(self.connections) > most_connections() + _MOST_LINGERING:
            self.transport.close()
            return
        if self.cycle and not self.cycle.response_complete:  # the application has to hear of it
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)
