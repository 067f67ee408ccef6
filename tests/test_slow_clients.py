"""Clients that stall, trickle, hang up or do not read: nobody else notices."""

import asyncio
import json
import re
import select
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from drawn_clips import bright_is_sky, make_runtime
from drawn_pictures import picture_bytes
from fastapi import Request

from skyseg_tf.serve import ServeConfig
from skyseg_tf.server import photo_queue, uploads
from skyseg_tf.server.requests import Refusal, busy, find_photo
from skyseg_tf.server.uploads import Uploads

SERVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from drawn_clips import bright_is_sky, make_runtime
from skyseg_tf.serve import main
from skyseg_tf.server import app, connections, uploads
connections.HEADER_SECONDS, connections.REST_SECONDS, connections.READ_SECONDS = 0.6, 0.8, 0.5
uploads.STALL_SECONDS = 1.0
connections.most_connections = lambda: 60
def infer(images):
    time.sleep(0.02)
    return bright_is_sky(images)
app.load_runtime = lambda *a, **k: make_runtime(infer)
main(sys.argv[2:])
"""
PHOTO = picture_bytes(np.full((64, 96, 3), 200, np.uint8), "PNG")


@pytest.fixture(scope="module")
def server():
    command = [sys.executable, "-c", SERVER, str(Path(__file__).parent), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--upload-seconds", "3", "--max-megabytes", "1", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
    try:
        yield url
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert "Traceback" not in said
        assert set(said.splitlines()) <= {"WARNING:  Invalid HTTP request received."}


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(length: int) -> bytes:
    return f"POST /mask HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def answer(client: socket.socket) -> tuple[int, dict]:
    """(status, JSON) of what comes until the server closes the connection."""
    told = b""
    while piece := client.recv(1 << 16):
        told += piece
    if not told:
        return 0, {}
    start, _, body = told.partition(b"\r\n\r\n")
    assert b"connection: close" in start.lower()
    return int(start.split()[1]), json.loads(body)["error"]


def whole_answer(client: socket.socket) -> bytes:
    """One answer of a connection that stays open; head and body may come in two pieces."""
    told = client.recv(1 << 16)
    while b"\r\n\r\n" not in told:
        told += client.recv(1 << 16)
    start, _, body = told.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", start.lower())[1])
    while len(body) < length:
        body += client.recv(1 << 16)
    return start


def test_stalled_uploads_keep_nobody_out(server):
    """Fourteen shut out 90 of 90 clients when a place was taken with the first byte."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        stalled = [stack.enter_context(connected(server)) for _ in range(14)]
        for client in stalled:
            client.sendall(head(500_000) + PHOTO[:100])
        start = time.monotonic()
        health = httpx.get(f"{server}/health").json()
        assert (health["waiting"], health["capacity"]) == (0, 10)
        send = lambda _: httpx.post(f"{server}/mask", content=PHOTO, timeout=20).status_code  # noqa: E731
        assert list(pool.map(send, range(40))) == [200] * 40
        for client in stalled:
            status, error = answer(client)
            assert (status, error["code"]) == (408, "too_slow")
            assert error["message"] == (
                "the photo stalled: not one byte came for 1 s; send it again"
            )
        assert time.monotonic() - start < 20


def test_an_upload_that_trickles_ends_in_time(server):
    with connected(server) as client:
        client.sendall(head(500_000))
        start = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(answer, client)
            while not told.done():
                client.sendall(b"x")
                time.sleep(0.2)
        assert told.result()[0] == 408
        assert "took over 3 s" in told.result()[1]["message"]
        assert 2.5 < time.monotonic() - start < 20


@pytest.mark.parametrize("sent", [b"", b"POST /mask HTTP/1.1\r\nHost: loc"])
def test_half_sent_headers_time_out(server, sent):
    with connected(server) as client:
        client.sendall(sent)
        start = time.monotonic()
        assert answer(client)[0] == 408
        assert 0.4 < time.monotonic() - start < 20


def test_half_of_a_second_request_times_out_and_a_whole_one_does_not(server):
    with connected(server) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in whole_answer(client)
        time.sleep(1)  # longer than headers may take: nothing of them has come
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET")
        assert b"200 OK" in whole_answer(client)
        client.sendall(b" /health HTTP/1.1\r\nHo")
        assert answer(client)[0] == 408


EARLY = [  # answered before their body is here
    (b"POST /nothing", b"404"),
    (b"PUT /mask", b"405"),
    (b"POST /mask?threshold=2", b"422"),
    (b"GET /health", b"200"),
]


@pytest.mark.parametrize(("call", "status"), EARLY)
def test_the_rest_of_an_answered_body_has_to_come_in_time(server, call, status):
    """One byte of it stopped the only timer, and a thousand such clients the server."""
    with connected(server) as client:
        client.sendall(head(9).replace(b"POST /mask", call))
        assert whole_answer(client).startswith(b"HTTP/1.1 " + status)
        start = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b""
        assert 0.4 < time.monotonic() - start < 5


def test_a_client_that_sends_the_rest_of_an_answered_body_may_go_on(server):
    with connected(server) as client:
        for _ in range(3):
            client.sendall(head(9).replace(b"/mask", b"/nothing"))
            assert b"404" in whole_answer(client)
            client.sendall(b"123456789")
            time.sleep(0.1)
        client.sendall(head(len(PHOTO)))
        for start in (0, 50):  # the last deadline is past by then
            time.sleep(0.45)
            client.sendall(PHOTO[start:] if start else PHOTO[:50])
        assert b"200 OK" in whole_answer(client)


def test_a_wrong_format_is_told_once_the_photo_is_here(server):
    """Told before, it was lost: a connection closed upon bytes on their way is reset."""
    with connected(server) as client:
        client.sendall(head(len(PHOTO)).replace(b"/mask", b"/mask?format=gif") + PHOTO[:50])
        assert not select.select([client], [], [], 0.5)[0]
        client.sendall(PHOTO[50:])
        status, error = answer(client)
        assert (status, error["code"]) == (422, "bad_parameter")


def test_clients_that_hang_up_leave_no_trace(server):
    """The fixture asserts that the server's log is empty."""
    for sent in (head(500_000) + PHOTO, head(len(PHOTO)) + PHOTO, head(9)[:40], head(9)):
        with connected(server) as client:
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset
    deadline = time.monotonic() + 5
    while httpx.get(f"{server}/health").json()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert httpx.get(f"{server}/health").json()["waiting"] == 0
    assert httpx.post(f"{server}/mask", content=PHOTO).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),  # TLS
        b"POST /mask HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /mask HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2_000_000,
        b"POST /mask HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
def test_what_is_no_http_is_told_so(server, sent):
    """Closed upon what is still on its way, the connection is reset, and the answer is lost."""
    with connected(server) as client:
        client.sendall(sent)
        assert answer(client) == (
            400,
            {"code": "bad_request", "message": "this is no HTTP request"},
        )


def test_answers_that_nobody_takes_are_dropped(server):
    photo = picture_bytes(np.full((500, 600, 3), 9, np.uint8), "PNG")
    with connected(server) as client:
        request = head(len(photo)).replace(b"/mask", b"/mask?format=npy&refine=0")
        client.sendall((request + photo) * 30)  # 36 MB of answers, more than the kernel buffers
        time.sleep(2.5)
        taken = 0
        with suppress(ConnectionError):
            while piece := client.recv(1 << 20):
                taken += len(piece)
    assert 0 < taken < 30 * 4 * 500 * 600


def test_one_connection_too_many_is_told_so(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(61)]
        told = b"".join(iter(lambda: clients[-1].recv(1 << 16), b""))
    start, _, body = told.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in start.lower()
    refusal = busy(1, "connections")
    assert json.loads(body) == {"error": {"code": refusal.code, "message": refusal.message}}


# --- the parts ---


def request_of(*pieces: bytes, pause: float = 0.0, last: str = "http.request") -> Request:
    """A request whose body comes in pieces; `last` may be a client's hanging up."""
    left = list(pieces)

    async def receive() -> dict:
        await asyncio.sleep(pause)
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        return {"type": last, "body": b"", "more_body": False}

    return Request({"type": "http", "headers": []}, receive)


def test_where_room_is_scarce_the_one_longest_on_its_way_gives_way():
    async def run() -> tuple[list, Uploads]:
        found = Uploads(limit=1000, seconds=10, room=1500)
        pieces = [b"s" * 100] * 8 + [b""] * 200
        slow = asyncio.ensure_future(found.read(request_of(*pieces, pause=0.01)))
        while found.held < 800:
            await asyncio.sleep(0.01)
        fast = [found.read(request_of(b"f" * 400)) for _ in range(5)]  # one after the other
        told = [await one for one in fast]
        big = asyncio.gather(*(found.read(request_of(b"b" * 400, pause=0.02)) for _ in range(3)))
        return [*told, *await big, *await asyncio.gather(slow, return_exceptions=True)], found

    told, found = asyncio.run(run())
    assert [len(body) for body in told[:8]] == [400] * 8
    assert isinstance(told[8], Refusal)
    assert (told[8].status, told[8].headers) == (503, {"Retry-After": "1"})
    assert found.held == 0


def test_an_upload_whose_time_is_just_up_is_told_so_and_fails_no_other():
    async def run() -> list:
        found = Uploads(limit=1000, seconds=10, room=1000)
        stalled = asyncio.ensure_future(found.read(request_of(b"s" * 600, pause=0.2)))
        while not found.held:
            await asyncio.sleep(0.01)
        quick = asyncio.ensure_future(found.read(request_of(b"q" * 600)))
        found._on_way[0].deadline.reschedule(0)  # is up just before the other's bytes come
        return await asyncio.gather(stalled, quick, return_exceptions=True)

    stalled, quick = asyncio.run(run())
    assert (stalled.status, quick) == (408, b"q" * 600)


def test_a_client_that_hangs_up_while_it_sends_is_no_error():
    found = Uploads(limit=1000, seconds=10, room=1500)
    with pytest.raises(Refusal, match="hung up") as refusal:
        asyncio.run(found.read(request_of(b"x", last="http.disconnect")))
    assert refusal.value.status == 499
    assert found.held == 0


def test_a_body_that_is_too_large_is_dropped_as_it_comes(monkeypatch):
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.2)
    found = Uploads(limit=1000, seconds=10, room=1500)
    with pytest.raises(Refusal, match="exceeds") as refusal:
        asyncio.run(found.read(request_of(*[b"x" * 700] * 3)))
    assert refusal.value.status == 413
    with pytest.raises(Refusal, match="stalled") as refusal:
        asyncio.run(found.read(request_of(b"x", pause=0.5)))
    assert refusal.value.status == 408


def test_others_have_their_turn_while_a_large_form_is_parsed():
    async def run() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.ensure_future(other())
        kind = (b"content-type", b"multipart/form-data; boundary=x")
        photo = bytes(900_000)
        start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        form = start + photo + b"\r\n--x--"
        request = Request({"type": "http", "headers": [kind]})
        assert await find_photo(request, form) == ("a.png", photo)
        beside.cancel()
        return turns

    assert asyncio.run(run()) >= 3


def test_who_hangs_up_before_its_turn_leaves_its_place():
    async def run() -> int:
        queue = photo_queue.PhotoQueue(ServeConfig(workers=1, queue=1), make_runtime(bright_is_sky))
        work = asyncio.ensure_future(
            queue._in_turn(request_of(pause=9), lambda: time.sleep(0.5) or "done")
        )
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal, match="its photo's turn"):
            await queue._in_turn(request_of(pause=0.1, last="http.disconnect"), lambda: 0)
        assert queue.waiting == 1
        assert await work == "done"
        queue.close()
        return queue.waiting

    assert asyncio.run(run()) == 0
