"""Other loaders' side of streaming.py, run by a Python that has torch, or grain and array-record.

    python benchmarks/loader_peer.py FOLDER BATCH

FOLDER holds image_<n>.png and mask_<n>.png of the training's size. Answers one line of JSON per
line "LOADER TRANSFORMS SECONDS" of stdin: images per second, and milliseconds of CPU per image, of
the workers too. LOADER is torch (DataLoader with two
worker processes over the PNG files) or grain (the same pairs as raw bytes in an ArrayRecord, two
worker processes); TRANSFORMS is plain or default: scale, crop, flip, gamma, saturation, blur and
noise by OpenCV, as often and as strong as in the preset `default`.
"""

import itertools
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

MEAN, STD = np.float32([73, 82, 72]), np.float32([47, 48, 48])
LUMA = np.repeat([[0.299, 0.587, 0.114]], 3, 0)
WORKERS, WARM = 2, 8
cv2.setNumThreads(1)  # two processes for two cores


def read(folder: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 RGB and mask (H, W) uint8."""
    image = cv2.imread(str(folder / f"image_{index}.png"), cv2.IMREAD_COLOR)
    mask = cv2.imread(str(folder / f"mask_{index}.png"), cv2.IMREAD_GRAYSCALE)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), mask


def transformed(image, mask, rng) -> tuple[np.ndarray, np.ndarray]:
    """The transforms on bytes, as a project writes them."""
    height, width = mask.shape
    scale = np.exp(rng.uniform(np.log(0.75), np.log(2.0)))
    size = round(width * scale), round(height * scale)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    low = max(0, height - size[1]), max(0, width - size[0])
    if any(low):
        image = cv2.copyMakeBorder(image, 0, low[0], 0, low[1], cv2.BORDER_CONSTANT)
        mask = cv2.copyMakeBorder(mask, 0, low[0], 0, low[1], cv2.BORDER_CONSTANT, value=255)
    y = rng.integers(image.shape[0] - height + 1)
    x = rng.integers(image.shape[1] - width + 1)
    image, mask = image[y : y + height, x : x + width], mask[y : y + height, x : x + width]
    if rng.random() < 0.5:
        image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.002, 0.008) * height)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 14), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    table = 255 * (np.arange(256) / 255) ** rng.uniform(0.5, 1.5)
    image = cv2.LUT(image, table.astype(np.uint8))
    saturation = rng.uniform(0.5, 1.5)
    image = cv2.transform(image, LUMA + saturation * (np.eye(3) - LUMA))
    return image, np.ascontiguousarray(mask)


def normalized(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32."""
    return (image.astype(np.float32) - MEAN) * (1 / STD)


def torch_batches(folder: Path, batch: int, transforms: str):
    """Batches without end of a DataLoader: (B, 3, H, W) float32 and (B, H, W) uint8."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    count = len(list(folder.glob("image_*.png")))

    class Pairs(Dataset):
        def __len__(self):
            return 1000 * count

        def __getitem__(self, index):
            image, mask = read(folder, index % count)
            if transforms == "default":
                image, mask = transformed(image, mask, np.random.default_rng(index))
            return torch.from_numpy(normalized(image).transpose(2, 0, 1)), torch.from_numpy(mask)

    return iter(DataLoader(Pairs(), batch, shuffle=True, num_workers=WORKERS))


def grain_batches(folder: Path, batch: int, transforms: str):
    """Batches without end of grain: (B, H, W, 3) float32 and (B, H, W) uint8."""
    import grain.python as grain
    from array_record.python import array_record_module

    count, path = len(list(folder.glob("image_*.png"))), folder / "pairs.arrayrecord"
    size = read(folder, 0)[1].shape
    if not path.exists():
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1,uncompressed")
        for index in range(count):
            writer.write(b"".join(part.tobytes() for part in read(folder, index)))
        writer.close()

    class Decode(grain.RandomMapTransform):
        def random_map(self, element, rng):
            pixels = np.frombuffer(element, np.uint8)
            cut = 3 * size[0] * size[1]
            image, mask = pixels[:cut].reshape(*size, 3), pixels[cut:].reshape(size)
            if transforms == "default":
                image, mask = transformed(image, mask, rng)
            return normalized(image), mask

    source = grain.ArrayRecordDataSource([str(path)])
    sampler = grain.IndexSampler(count, grain.ShardOptions(0, 1), True, None, 0)
    steps = [Decode(), grain.Batch(batch)]
    loader = grain.DataLoader(
        data_source=source, sampler=sampler, operations=steps, worker_count=WORKERS
    )
    return iter(loader)


def cpu_seconds() -> float:
    """Of this process and its living children so far."""
    pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Serves measurements until stdin ends."""
    folder, batch = Path(sys.argv[1]), int(sys.argv[2])
    makers, streams = {"torch": torch_batches, "grain": grain_batches}, {}
    for line in sys.stdin:
        loader, transforms, seconds = line.split()
        if (loader, transforms) not in streams:
            streams[loader, transforms] = makers[loader](folder, batch, transforms)
        stream = streams[loader, transforms]
        for _ in itertools.islice(stream, WARM):  # those that wait, and the workers' start
            pass
        steps, begun, used = 0, time.perf_counter(), cpu_seconds()
        while time.perf_counter() - begun < float(seconds):
            next(stream)
            steps += 1
        elapsed, used = time.perf_counter() - begun, cpu_seconds() - used
        print(json.dumps([steps * batch / elapsed, 1e3 * used / steps / batch]), flush=True)


if __name__ == "__main__":
    main()
