"""What reads files from strangers, with files to begin from: PARSERS.

All seeds are drawn; tests/ knows how.
"""

import json
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from fuzz_mutations import Mutation, blind, in_json, in_png, in_records, in_zip

from skyseg_tf.errors import InputError

Seeds = dict[str, bytes]
_PHOTO = np.kron(
    np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
)


@dataclass(frozen=True)
class Parser:
    """Something that reads a file.

    Attributes:
      about: its files, in a few words.
      seeds: folder to work in -> {path in it: content}; what else is needed is written there.
      read: reads the file of that path; it may raise InputError and OSError.
      mutations: drawn from alike.
      megabytes, seconds: that one file may take.
    """

    about: str
    seeds: Callable[[Path], Seeds]
    read: Callable[[Path], None]
    mutations: tuple[Mutation, ...] = (blind,)
    megabytes: int = 1000
    seconds: int = 20

    def mutate(self, content: bytes, rng: random.Random) -> bytes:
        """The content with a change or two; one that its own kind of change cannot read is left."""
        for _ in range(rng.choice((1, 1, 3))):
            with suppress(Exception):  # each kind of file has errors of its own
                content = rng.choice(self.mutations)(content, rng)
        return content


# --- pictures ---


def _read_picture(path: Path) -> None:
    from skyseg_tf import images

    content, refused = path.read_bytes(), None
    for read in (
        images.image_size,
        images.image_orientation,
        images.decode_photo,
        images.decode_values,
        images.decode_mask_file,
    ):
        try:
            read(content, path.name)
        except InputError as error:
            refused = error
    if refused:
        raise refused


def _pictures(*kinds: tuple[str, dict]) -> Callable[[Path], Seeds]:
    """Seeds in formats of Pillow, each in RGB and in grey."""

    def draw(folder: Path) -> Seeds:
        from drawn_pictures import picture_bytes
        from PIL import ExifTags, Image

        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        found = {}
        for kind, options in kinds:
            stored = options | ({"exif": exif} if kind not in ("BMP", "GIF", "PPM") else {})
            for name, array in (("rgb", _PHOTO), ("grey", _PHOTO[..., 0])):
                found[f"{len(found)}_{name}.{kind.lower()}"] = picture_bytes(array, kind, **stored)
        return found

    return draw


def _pngs(folder: Path) -> Seeds:
    from test_png_fuzz import CHANNELS, KINDS, write_png

    found, rng = {}, np.random.default_rng(0)
    for color, depth in KINDS:
        for interlaced in (False, True):
            samples = rng.integers(0, 2**depth, (9, 12, CHANNELS[color]), np.uint16)
            chunks = [b"eXIf", b"tEXt", b"tRNS"]
            content = write_png(samples, color, depth, interlaced, chunks, 2, rng)
            found[f"{color}_{depth}_{interlaced}.png"] = content
    return found


def _tiffs(folder: Path) -> Seeds:
    from drawn_pictures import dng_tags, picture_bytes, raw_page, tiff, tiff_page

    plain = tiff_page(_PHOTO, 2, t274=(3, [6]))
    found = {
        "plain.tif": tiff([plain]),
        "big.tif": tiff([plain], big=True),
        "pages.tif": tiff([plain, plain]),
        "deep.tif": tiff([tiff_page(_PHOTO[..., 0].astype(np.uint16), 1)]),
        "float.tif": tiff([tiff_page(_PHOTO[..., 0].astype(np.float32) / 255, 1)]),
        "raw.dng": tiff([raw_page(np.full((32, 48), 9000)) | dng_tags()]),
    }
    for method in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        found[f"{method}.tif"] = picture_bytes(_PHOTO, "TIFF", compression=method)
    return found


def _heifs(folder: Path) -> Seeds:
    from drawn_pictures import heic

    return {"photo.heic": heic(_PHOTO)} | _pictures(("AVIF", {"speed": 10}))(folder)


# --- records and what lies beside them ---


def _shards(folder: Path) -> Seeds:
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


def _read_shard(path: Path) -> None:
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
    refused = None
    for read in (
        lambda: list(make_dataset(path.parent, "train", 2, seed=0)),
        lambda: list(read_tfrecord([str(path)])),
    ):
        try:
            read()
        except InputError as error:
            refused = error
    if refused:
        raise refused


def _jsons(folder: Path) -> Seeds:
    from skyseg_tf.data.drawing.dataset import write_scenes
    from skyseg_tf.labels import SCHEMES
    from skyseg_tf.runs.folder import write_json
    from skyseg_tf.training.settings import SearchConfig, TrainConfig

    _shards(folder)
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


def _read_json(path: Path) -> None:
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


# --- models and weights ---


def _onnx_files(folder: Path) -> Seeds:
    from drawn_models import blue_model

    names = {
        "sky.onnx": {},
        "many.onnx": {"scheme": "cityscapes19"},
        "fixed.onnx": {"size": (32, 64)},
    }
    return {n: blue_model(folder / n, **facts).read_bytes() for n, facts in names.items()}


def _openvino_files(folder: Path) -> Seeds:
    import openvino as ov
    from drawn_models import blue_model

    from skyseg_tf.masking.onnx_file import read_metadata

    source = blue_model(folder / "source.onnx")
    network = ov.convert_model(source)
    for key, text in read_metadata(source).items():
        network.set_rt_info(text, [key])
    ov.save_model(network, folder / "m.xml")
    return {name: (folder / name).read_bytes() for name in ("m.xml", "m.bin")}


def _keras_model():
    import keras

    pixels = keras.Input((None, None, 3), name="rgb")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(pixels)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(pixels, keras.layers.Conv2D(1, 1, activation="sigmoid")(x))


def _keras_files(folder: Path) -> Seeds:
    _keras_model().save(folder / "m.keras")
    return {"m.keras": (folder / "m.keras").read_bytes()}


def _litert_files(folder: Path) -> Seeds:
    import keras

    from skyseg_tf.labels import SCHEMES
    from skyseg_tf.masking.model_facts import FILE_SHA256, ModelFacts

    pixels = keras.Input((32, 64, 3), 1, name="rgb", dtype="uint8")
    x = keras.layers.Conv2D(1, 1, activation="sigmoid")(keras.ops.cast(pixels, "float32"))
    keras.Model(pixels, x).export(folder / "m.tflite", format="litert", verbose=False)
    facts = ModelFacts("m", SCHEMES["sky"], working_size=(32, 64)).to_metadata()
    model = (folder / "m.tflite").read_bytes()
    told = json.dumps(facts | {FILE_SHA256: sha256(model).hexdigest()}).encode()
    (folder / "m.tflite.json").write_bytes(told)
    return {"m.tflite": model, "m.tflite.json": told}


def _read_model(*backends: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        from skyseg_tf.masking.runtime import load_runtime

        refused = None
        model = path.with_suffix(".xml") if path.suffix == ".bin" else path
        model = model.with_suffix("") if path.suffix == ".json" else model
        for backend in backends:
            try:
                load_runtime(model, backend)(np.zeros((1, 32, 64, 3), np.uint8))
            except (InputError, OSError) as error:
                refused = error
        if refused:
            raise refused

    return read


def _state_files(folder: Path) -> Seeds:
    from safetensors.numpy import save_file

    from skyseg_tf.training.checkpoints import save_checkpoint

    arrays = {"a.weight": np.ones((2, 3), np.float32), "b.bias": np.zeros(4, np.float16)}
    save_file(arrays, folder / "s.safetensors")
    np.savez(folder / "s.npz", **arrays)
    model = _keras_model()
    model.compile("adam", "mse")
    save_checkpoint(folder / "last.npz", model, {"epoch": 1})
    return {name: (folder / name).read_bytes() for name in ("s.safetensors", "s.npz", "last.npz")}


def _read_weights(path: Path) -> None:
    from skyseg_tf.models.state_dicts import read_state
    from skyseg_tf.training.checkpoints import load_checkpoint, load_initial_weights

    if path.name != "last.npz":
        read_state(path)
        return
    model = _keras_model()
    with suppress(InputError):
        load_initial_weights(path, model)
    load_checkpoint(path, model, optimizer=False)


# --- archives and videos ---


def _zips(folder: Path) -> Seeds:
    import drawn_trees as trees

    trees.zipped(trees.cityscapes(folder / "tree"), folder / "zips")
    return {f"zips/{p.name}": p.read_bytes() for p in (folder / "zips").glob("*.zip")}


def _read_zips(path: Path) -> None:
    from skyseg_tf.data.scan import find_pairs
    from skyseg_tf.images import read_image, read_mask

    for pair in find_pairs(path.parent):
        read_image(pair.image)
        if pair.mask:
            read_mask(pair.mask)


def _clips(folder: Path) -> Seeds:
    from drawn_clips import write_clip

    kinds = {
        "a.mp4": {"sound": "aac"},
        "b.mkv": {},
        "c.avi": {"codec": "mpeg4"},
        "d.mov": {"turned": 90},
    }
    return {n: write_clip(folder / n, 4, **facts).read_bytes() for n, facts in kinds.items()}


def _read_clip(path: Path) -> None:
    from skyseg_tf.video.read import VideoReader

    reader = VideoReader(path)
    try:
        for _ in reader:
            pass
    finally:
        reader.close()


PARSERS = {
    "png": Parser("PNG of every kind", _pngs, _read_picture, (blind, in_png, in_png)),
    "jpeg": Parser(
        "JPEG and MPO",
        _pictures(("JPEG", {}), ("JPEG", {"progressive": True}), ("MPO", {})),
        _read_picture,
    ),
    "tiff": Parser("TIFF and raw photos (DNG)", _tiffs, _read_picture),
    "heif": Parser("HEIC and AVIF", _heifs, _read_picture),
    "pictures": Parser(
        "WebP, GIF, BMP, JPEG 2000, PPM",
        _pictures(
            ("WEBP", {"lossless": True}),
            ("WEBP", {}),
            ("GIF", {}),
            ("BMP", {}),
            ("JPEG2000", {}),
            ("PPM", {}),
        ),
        _read_picture,
    ),
    "records": Parser(
        "TFRecords of all storages, with a manifest that fits",
        _shards,
        _read_shard,
        (blind, in_records, in_records),
    ),
    "json": Parser(
        "JSON and CSV of runs, records, schemes, scenes",
        _jsons,
        _read_json,
        (blind, in_json, in_json),
    ),
    "zip": Parser("datasets in zip archives", _zips, _read_zips),
    "onnx": Parser("ONNX, in two runtimes", _onnx_files, _read_model("onnxruntime", "openvino")),
    "openvino": Parser("OpenVINO's .xml and .bin", _openvino_files, _read_model("openvino")),
    "litert": Parser("LiteRT", _litert_files, _read_model("litert")),
    "keras": Parser(".keras archives", _keras_files, _read_model("keras"), (blind, in_zip, in_zip)),
    "weights": Parser(
        "state dicts (.safetensors, .npz), checkpoints",
        _state_files,
        _read_weights,
        (blind, in_zip),
    ),
    "video": Parser("MP4, MKV, AVI, MOV", _clips, _read_clip),
}
