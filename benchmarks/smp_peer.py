"""Hands photos to torch_training.py, which needs a Python of its own, and takes its masks back."""

import subprocess
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np

from skyseg_tf.data.photos import LabeledPhoto

PEER = Path(__file__).with_name("torch_training.py")
_MISSING = """
from importlib.util import find_spec
wanted = ("torch", "segmentation_models_pytorch", "albumentations")
raise SystemExit(", ".join(name for name in wanted if not find_spec(name)) or None)
"""


def torch_python(text: str) -> str:
    """For argparse: a Python that has what the peer needs."""
    try:
        done = subprocess.run([text, "-c", _MISSING], capture_output=True, text=True)
    except OSError as error:
        raise ArgumentTypeError(f"{text}: {error.strerror}; name a Python") from None
    if done.returncode:
        raise ArgumentTypeError(f"{text}: lacks {done.stderr.strip()}; pip install them there")
    return text


def train_peer(
    python: str,
    train: list[LabeledPhoto],
    val: list[LabeledPhoto],
    stats: tuple[np.ndarray, np.ndarray],
    classes: int,
    minutes: float,
    seed: int,
    out: Path,
) -> np.ndarray:
    """Trains segmentation_models.pytorch's U-Net on these pixels, for so many minutes.

    Args:
      python: one with torch, segmentation_models_pytorch and albumentations.
      train: photos of one size.
      val: photos of that size, by which the best weights are chosen.
      stats: mean and standard deviation (3,) on 0-255.
      classes: how many.
      minutes: of training.
      seed: of weights, order and augmentation.
      out: .npy that will hold the logits.

    Returns:
      (N, H, W, C) float32 probabilities of the val photos.
    """
    data = out.with_suffix(".npz")
    np.savez(
        data,
        images=np.stack([photo.image for photo in train]),
        masks=np.stack([photo.truth for photo in train]),
        val_images=np.stack([photo.image for photo in val]),
        val_masks=np.stack([photo.truth for photo in val]),
        mean=stats[0],
        std=stats[1],
        classes=classes,
    )
    subprocess.run([python, str(PEER), str(data), str(out), str(minutes), str(seed)], check=True)
    data.unlink()
    logits = np.load(out).astype(np.float32)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).transpose(0, 2, 3, 1)
