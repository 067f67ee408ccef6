"""PyTorch's side of training.py and boxed_model.py, run by a Python of its own (smp_peer.py).

    python benchmarks/torch_training.py DATA.npz OUT MINUTES SEED

It needs torch, segmentation_models_pytorch and albumentations. The recipe is what their users know:
U-Net with EfficientNet-B2 from random weights, AdamW, cross-entropy and Dice, bfloat16 autocast,
polynomial decay over the minutes; flip, scale 0.5-2 with a crop, colors, blur and noise. Twelve
times it scores the val photos and keeps the best weights, as a training of ours does per epoch.

DATA.npz: images (N, H, W, 3) uint8 and masks (N, H, W) uint8 with 255 = ignored, val_images,
val_masks, mean and std (3,) on 0-255, classes. OUT: logits of the val photos, (N, C, H, W) float16
.npy. The last line of stdout is JSON: steps, minutes.
"""

import json
import sys
import time

import albumentations as A
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

BATCH, RATE, LOOKS = 8, 1e-3, 12


def usual_augmentations(height: int, width: int, seed: int) -> A.Compose:
    """For uint8 pairs, padded with ignored pixels."""
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.RandomScale((-0.5, 1.0), p=1.0),
            A.PadIfNeeded(height, width, border_mode=cv2.BORDER_CONSTANT, fill_mask=255),
            A.RandomCrop(height, width),
            A.ColorJitter(0.3, 0.3, 0.3, 0.05, p=0.8),
            A.GaussianBlur((3, 5), p=0.1),
            A.GaussNoise((0.01, 0.05), p=0.1),
        ],
        seed=seed,
    )


class Normalized(torch.nn.Module):
    """The network behind the data set's mean and standard deviation."""

    def __init__(self, network, mean, std):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])

    def forward(self, images):
        """(B, 3, H, W) on 0-255 to float32 logits (B, C, H, W)."""
        images = (images.float() - self.mean) / self.std
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(images)
        return logits.float()


def to_torch(images: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) to (B, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def predict(network, images: np.ndarray) -> np.ndarray:
    """Logits of all photos, (N, C, H, W) float16."""
    network.eval()
    with torch.no_grad():
        parts = [network(to_torch(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    network.train()
    return torch.cat(parts).half().numpy()


def mean_iou(truth: np.ndarray, pred: np.ndarray, classes: int) -> float:
    """Over the classes that occur."""
    keep = truth != 255
    matrix = np.bincount(
        truth[keep].astype(np.int64) * classes + pred[keep], minlength=classes**2
    ).reshape(classes, classes)
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return float((np.diag(matrix)[union > 0] / union[union > 0]).mean())


def main() -> None:
    """Trains for so many minutes and writes the logits of the best weights."""
    data, out, minutes, seed = np.load(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
    begun, seconds = time.perf_counter(), 60 * minutes
    torch.manual_seed(int(seed))
    rng = np.random.default_rng(int(seed))
    images, masks, classes = data["images"], data["masks"], int(data["classes"])
    val_images, val_masks = data["val_images"], data["val_masks"]
    unet = smp.Unet("efficientnet-b2", encoder_weights=None, classes=classes)
    network = Normalized(unet, data["mean"], data["std"]).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    dice = smp.losses.DiceLoss("multiclass", ignore_index=255)
    augment = usual_augmentations(*images.shape[1:3], int(seed))
    best, logits, steps, looks, order = -1.0, None, 0, 0, []
    while True:
        elapsed = time.perf_counter() - begun
        if elapsed >= seconds * (looks + 1) / LOOKS or elapsed >= seconds:
            looks += 1
            now = predict(network, val_images)
            score = mean_iou(val_masks, now.argmax(1), classes)
            share = f"{elapsed / 60:.1f} minutes, {steps} steps"
            print(f"{share}: mean IoU {score:.4f} at the photos' training size", flush=True)
            if score > best:
                best, logits = score, now
            if elapsed >= seconds:
                break
        if len(order) < BATCH:
            order = rng.permutation(len(images)).tolist()
        chosen, order = order[:BATCH], order[BATCH:]
        pairs = [augment(image=images[i], mask=masks[i]) for i in chosen]
        truth = torch.from_numpy(np.stack([pair["mask"] for pair in pairs]).astype(np.int64))
        left = max(1 - elapsed / seconds, 0.0) ** 0.9
        for group in optimizer.param_groups:
            group["lr"] = RATE * left * min((steps + 1) / 100, 1)
        predicted = network(to_torch(np.stack([pair["image"] for pair in pairs])))
        loss = F.cross_entropy(predicted, truth, ignore_index=255) + dice(predicted, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    np.save(out, logits)
    print(json.dumps({"steps": steps, "minutes": (time.perf_counter() - begun) / 60}))


if __name__ == "__main__":
    main()
