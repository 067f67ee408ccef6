"""Records, and the texts that lie beside them and in the folders of runs."""

import json
from hashlib import sha256
from pathlib import Path

from fuzzing.parser import Seeds, read_all_ways


def shards(folder: Path) -> Seeds:
    """A shard of each storage; its manifest stays beside it."""
    from skyseg_tf.build import BuildConfig, build
    from skyseg_tf.data.drawing.dataset import write_scenes

    write_scenes(folder / "tree", 4, size=(64, 64), seed=3, workers=1)
    found = {}
    for storage in ("uint8", "png", "jpeg", "normalized"):
        out = folder / storage
        build(
            BuildConfig(
                out=out, source=folder / "tree", image_size=(16, 32), storage=storage, quiet=True
            )
        )
        path = min(out.glob("train-*.tfrecord"))
        found[f"{storage}/{path.name}"] = path.read_bytes()
    return found


def read_shard(path: Path) -> None:
    """As it is, then with a manifest that fits its bytes."""
    from skyseg_tf.data.pipeline import make_dataset
    from skyseg_tf.data.records import read_tfrecord
    from skyseg_tf.data.verification import verify_records

    manifest = path.with_name("dataset.json")
    told = json.loads(manifest.read_text())
    for shard in (s for split in told["splits"].values() for s in split["shards"]):
        if shard["file"] == path.name:
            content = path.read_bytes()
            shard |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    manifest.write_text(json.dumps(told))
    verify_records(path.parent, quiet=True)
    read_all_ways(
        (
            lambda: list(make_dataset(path.parent, "train", 2, seed=0)),
            lambda: list(read_tfrecord([str(path)])),
        )
    )


def jsons(folder: Path) -> Seeds:
    """A file of each kind, as the package writes it."""
    from skyseg_tf.data.drawing.dataset import write_scenes
    from skyseg_tf.labels import SCHEMES
    from skyseg_tf.runs.folder import write_json
    from skyseg_tf.training.settings import SearchConfig, TrainConfig

    shards(folder)
    write_scenes(folder / "scenes", 1, size=(64, 64), workers=1)
    write_json(folder / "config.json", TrainConfig())
    write_json(folder / "search.json", SearchConfig())
    write_json(folder / "scheme.json", SCHEMES["cityscapes19"])
    scores = {"protocol": "p", "iou": {"sky": 1.0}, "mean_iou": 1.0, "settings": {}}
    scores |= {"protocol_facts": {"photos": 3}, "sky": {"iou": 1.0}, "network": "n"}
    scene = {"w": 8, "h": 8, "frames": [{"file_path": "images/a.png", "transform_matrix": [[1.0]]}]}
    told = {
        "config.json": (folder / "config.json").read_text(),
        "search/config.json": (folder / "search.json").read_text(),
        "uint8/dataset.json": (folder / "uint8/dataset.json").read_text(),
        "uint8/build.json": (folder / "uint8/build.json").read_text(),
        "rgb_stats.json": (folder / "uint8/rgb_stats.json").read_text(),
        "scheme.json": (folder / "scheme.json").read_text(),
        "classes.json": '{"0": "road", "1": "sky", "7": [3, 4, 5]}',
        "evaluation/val/metrics.json": json.dumps(scores),
        "transforms.json": json.dumps(scene),
        "scenes/scenes.json": (folder / "scenes/scenes.json").read_text(),
        "history.csv": "epoch,loss,val_loss,iou,val_iou,seconds,waiting\n1,1,1,0.5,0.5,1,0\n",
    }
    return {name: text.encode() for name, text in told.items()}


def read_json(path: Path) -> None:
    """Reads a file by what the package has for one of its name."""
    from skyseg_tf.build import BuildConfig, build
    from skyseg_tf.data.drawing.dataset import write_scenes
    from skyseg_tf.data.records import read_manifest
    from skyseg_tf.data.rgb_stats import read_rgb_stats
    from skyseg_tf.data.verification import verify_records
    from skyseg_tf.labels import get_scheme
    from skyseg_tf.labels.own_files import scheme_encoding
    from skyseg_tf.masking.nerfstudio import read_scene
    from skyseg_tf.runs.folder import read_config, read_run_data
    from skyseg_tf.runs.history import read_history
    from skyseg_tf.scoring.comparison import compare_evaluations
    from skyseg_tf.training.settings import SearchConfig, TrainConfig

    def read_records(path: Path) -> None:
        verify_records(path.parent, quiet=True)
        read_manifest(path.parent)

    def build_again(path: Path) -> None:
        source, out = path.parents[1] / "tree", path.parent
        build(BuildConfig(out=out, source=source, image_size=(16, 32), storage="uint8", quiet=True))

    def read_run(path: Path) -> None:
        read_run_data(path.parent)
        read_config(path.parent, TrainConfig)

    readers = {
        "config.json": read_run,
        "search/config.json": lambda path: read_config(path.parent, SearchConfig),
        "uint8/dataset.json": read_records,
        "uint8/build.json": build_again,
        "rgb_stats.json": read_rgb_stats,
        "scheme.json": lambda path: get_scheme(str(path)),
        "classes.json": lambda path: (get_scheme(str(path)), scheme_encoding(path)),
        "val/metrics.json": lambda path: compare_evaluations([str(path.parents[2])], "val"),
        "transforms.json": lambda path: read_scene(path.parent),
        "scenes/scenes.json": lambda path: write_scenes(path.parent, 1, size=(64, 64), workers=1),
        "history.csv": lambda path: read_history(path.parent),
    }
    name = next(
        name
        for name in readers
        if path.as_posix().endswith(f"/{name}")
        and not (name == "config.json" and path.parent.name == "search")
    )
    readers[name](path)
