"""Zip archives of datasets, and videos."""

from pathlib import Path

from fuzzing.parser import Seeds


def zips(folder: Path) -> Seeds:
    """The archives of a small dataset."""
    import drawn_trees as trees

    trees.zipped(trees.cityscapes(folder / "tree"), folder / "zips")
    return {f"zips/{p.name}": p.read_bytes() for p in (folder / "zips").glob("*.zip")}


def read_zips(path: Path) -> None:
    """Reads every pair of the dataset that an archive belongs to."""
    from skyseg_tf.data.scan import find_pairs
    from skyseg_tf.images import read_image, read_mask

    for pair in find_pairs(path.parent):
        read_image(pair.image)
        if pair.mask:
            read_mask(pair.mask)


def clips(folder: Path) -> Seeds:
    """A video in each container, with sound and turned among them."""
    from drawn_clips import write_clip

    kinds = {
        "a.mp4": {"sound": "aac"},
        "b.mkv": {},
        "c.avi": {"codec": "mpeg4"},
        "d.mov": {"turned": 90},
    }
    return {n: write_clip(folder / n, 4, **facts).read_bytes() for n, facts in kinds.items()}


def read_clip(path: Path) -> None:
    """Reads all frames of a video."""
    from skyseg_tf.video.read import VideoReader

    reader = VideoReader(path)
    try:
        for _ in reader:
            pass
    finally:
        reader.close()
