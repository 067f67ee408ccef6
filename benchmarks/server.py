"""`skyseg serve` under 200 clients, some of them slow: times, refusals, memory.

python benchmarks/server.py --seconds 60 --out server.json

Of the clients 120 send photos as fast as they are answered, and come again after a refusal when
they are told to; 40 begin to send and stall, 20 send a byte now and then, 10 send half of the
headers, 10 hang up in the middle. One more asks /health every half second. The server runs as a
process of its own with its defaults and the model in the package.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import numpy as np
from PIL import Image

from skyseg_tf.data.drawing.scenes import draw_scene
from tools.starting import skyseg

CLIENTS = {"quick": 120, "stalled": 40, "trickling": 20, "half headers": 10, "hanging up": 10}
_REST = 10  # seconds after the last client in which the server may give memory back
_HEAD = "POST /mask HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


class Run:
    """One run: the server's port, the photo, the end, and what was measured until then."""

    def __init__(self, port: int, photo: bytes, seconds: float) -> None:
        """Starts the clock."""
        self.port, self.photo, self.end = port, photo, time.monotonic() + seconds
        self.times: dict[str, list[float]] = {"mask": [], "refusal": [], "health": []}
        self.statuses: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        """Whether clients should stop."""
        return time.monotonic() > self.end

    async def ask(self, request: bytes) -> tuple[int, dict[str, str]]:
        """(status, headers) of an answer over a connection of its own; 0 where none came."""
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(re.findall(r"([\w-]+): ?(.*)\r\n", head.lower()))
            await reader.readexactly(int(headers["content-length"]))
            return int(head.split()[1]), headers
        except (OSError, asyncio.IncompleteReadError):
            return 0, {}
        finally:
            if writer:
                writer.close()


async def quick(run: Run) -> None:
    """Sends photo after photo."""
    request = _HEAD.format(len(run.photo)).encode() + run.photo
    while not run.is_over:
        start = time.perf_counter()
        status, headers = await run.ask(request)
        run.statuses[f"quick {status}"] += 1
        run.times["mask" if status == 200 else "refusal"].append(time.perf_counter() - start)
        if status != 200:
            await asyncio.sleep(float(headers.get("retry-after", 1)))


async def watch(run: Run) -> None:
    """Asks whether the server lives."""
    while not run.is_over:
        start = time.perf_counter()
        status, _ = await run.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        run.statuses[f"health {status}"] += 1
        run.times["health"].append(time.perf_counter() - start)
        await asyncio.sleep(0.5)


async def slow(run: Run, kind: str) -> None:
    """Behaves as its kind says, again and again."""
    head = _HEAD.format(len(run.photo)).encode()
    sent = head[:30] if kind == "half headers" else head + run.photo[: len(run.photo) // 2]
    while not run.is_over:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", run.port)
            writer.write(sent)
            await writer.drain()
            told = asyncio.ensure_future(reader.read(1 << 16))
            while kind != "hanging up" and not told.done() and not run.is_over:
                if kind == "trickling":
                    writer.write(b"x")
                await asyncio.wait({told}, timeout=1)
            status = told.result().split()[1].decode() if told.done() and told.result() else "none"
            told.cancel()
            writer.close()
            run.statuses[f"{kind} {status}"] += 1
        await asyncio.sleep(0.1 if kind == "hanging up" else 0)


async def load(run: Run, pid: int) -> float:
    """Lets all clients loose; returns the server's largest memory in MB, looked at each 0.1 s."""
    clients = [quick(run) for _ in range(CLIENTS["quick"])] + [watch(run)]
    clients += [
        slow(run, kind) for kind in CLIENTS if kind != "quick" for _ in range(CLIENTS[kind])
    ]
    working, most = asyncio.gather(*clients), 0.0
    while not working.done():
        most = max(most, resident(pid))
        await asyncio.sleep(0.1)
    await working
    return most


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.split("VmRSS:")[1].split()[0]) / 1e3


def summary(times: list[float]) -> dict[str, float]:
    """Count, and p50 and p99 in milliseconds."""
    quantiles = {f"p{q}_ms": round(1e3 * float(np.percentile(times, q)), 1) for q in (50, 99)}
    return {"count": len(times), **(quantiles if times else {})}


def main() -> None:
    """Runs it and prints what came out."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--seconds", type=float, default=60)
    flags.add_argument("--out", type=Path, help="also write it there, as JSON")
    config, file = flags.parse_args(), io.BytesIO()
    Image.fromarray(draw_scene(8, (720, 1280)).image).save(file, "JPEG", quality=90)
    command = skyseg("serve", "--port", 0)
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(**command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        port = int(re.search(r":(\d+)$", server.stdout.readline())[1])
        run = Run(port, file.getvalue(), config.seconds)
        before = resident(server.pid)
        try:
            most = asyncio.run(load(run, server.pid))
            time.sleep(_REST)
            after = resident(server.pid)
        finally:
            server.terminate()
            server.wait()
        log.seek(0)
        said = log.read()
    result = {
        "clients": CLIENTS,
        "seconds": config.seconds,
        "photo": f"1280 x 720, {len(run.photo) / 1e3:.0f} kB",
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        **{what: summary(times) for what, times in run.times.items()},
        "masks_per_second": round(len(run.times["mask"]) / config.seconds, 1),
        "answers": dict(sorted(run.statuses.items())),
        "memory_mb": {"before": round(before), "most": round(most), "after": round(after)},
        "lines_in_the_log": len(said.splitlines()),
    }
    print(text := json.dumps(result, indent=2))
    if config.out:
        config.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
