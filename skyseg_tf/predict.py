"""skyseg predict: masks of photos and videos, in the format of the tool that needs them."""

import glob
import os
from dataclasses import asdict, fields
from pathlib import Path

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.flags import check_engine
from skyseg_tf.errors import InputError, flag_of, missing_hint
from skyseg_tf.files.memory import keep_freed_memory
from skyseg_tf.files.places import is_remote
from skyseg_tf.masking.settings import OF_PHOTOS, SOFT_FORMATS, PredictConfig


def predict(config: PredictConfig) -> int:
    """Writes one output per photo.

    Args:
      config: see PredictConfig.

    Returns:
      0, or 1 if photos could not be read; they are listed on stderr.

    Raises:
      InputError: nothing to do, outputs that would clash, a model or setting that cannot be used.
    """
    _check(config)
    videos = find_videos(config)
    _refuse_ignored(config, of_videos=bool(videos))
    check_engine(config.engine, config.address)
    if videos:
        if config.out and is_remote(config.out):
            raise InputError("--out: videos are written to this machine, no URL; copy them there")
        return _predict_videos(config, videos)
    from skyseg_tf.masking.photo_jobs import predict_photos

    if config.engine == "threads":
        return predict_photos(config)
    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.photos import mask_on_ray

    with connected(config.address):
        return predict_photos(config, mask_on_ray)


def _check(config: PredictConfig) -> None:
    if config.threshold is not None and not 0 < config.threshold < 1:
        raise InputError(f"--threshold {config.threshold}: must lie between 0 and 1")
    if config.threshold is not None and config.format in SOFT_FORMATS:
        raise InputError(
            f"--threshold {config.threshold:g}: {config.format} holds the probabilities themselves, "
            "which it does not change; leave it out, or choose another --format"
        )
    if config.batch_size < 1 or (config.workers or 1) < 1:
        raise InputError("--batch-size and --workers must be at least 1")
    if config.engine == "ray" and "-" in (*config.inputs, str(config.out)):
        raise InputError("--engine ray takes files: neither stdin nor stdout")
    if config.camera is not None and config.camera < 0:  # OpenCV dies of it
        raise InputError(f"--camera is {config.camera}: 0 is the first")


def _refuse_ignored(config: PredictConfig, of_videos: bool) -> None:
    """Refuses settings that have no meaning for the inputs; one at its default is not told apart."""
    if of_videos:
        settings, names, kind = config, OF_PHOTOS, "photos"
    else:
        settings, kind = config.video, "videos"
        names = [field.name for field in fields(settings)]
    default = type(settings)()
    for name in names:
        value = getattr(settings, name)
        if value != getattr(default, name):
            raise InputError(f"{flag_of(name, value)} is for {kind}: leave it out")


def find_videos(config: PredictConfig) -> list[str | int]:
    """The videos that the inputs name, or the number of the camera; empty where all are photos.

    Raises:
      InputError: photos among them, or a pattern that matches nothing.
    """
    from skyseg_tf.video.addresses import is_stream, is_video

    if config.camera is not None:
        if config.inputs:
            raise InputError(f"--camera takes no files: leave out {config.inputs[0]}")
        return [config.camera]
    named = [text for text in config.inputs if is_video(text)]
    if named and len(named) < len(config.inputs):
        other = next(text for text in config.inputs if text not in named)
        raise InputError(f"{other} is no video, {named[0]} is: give them to commands of their own")
    videos = []
    for text in named:
        is_there = is_stream(text) or Path(text).exists()
        found = [text] if is_there else sorted(glob.glob(text, recursive=True))
        if not found:
            what = "videos are read here or from streams; copy it to this machine"
            missing = f"no such file; {missing_hint(text)}"
            raise InputError(f"{text}: {what if is_remote(text) else missing}")
        videos += found
    return videos


def _predict_videos(config: PredictConfig, videos: list[str | int]) -> int:
    from skyseg_tf.masking.runtime import load_fastest
    from skyseg_tf.video.predict import VideoConfig, predict_videos, streams_for

    settings = VideoConfig(
        **asdict(config.video),
        out=str(config.out or "masks"),
        format=config.format or "overlay",
        threshold=config.threshold,
        quiet=config.quiet,
    )
    # So many and no more: the decoder and the encoder have threads of their own.
    runtime = load_fastest(
        config.model, config.backend, threads=os.cpu_count(), streams=streams_for(videos[0])
    )
    return predict_videos(settings, videos, runtime)


def _predict_alone(config: PredictConfig) -> int:
    keep_freed_memory()  # the process is this command's own
    return predict(config)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.predict") -> None:
    """Entry point of the command."""
    run_command(_predict_alone, PredictConfig, argv, prog)


if __name__ == "__main__":
    main()
