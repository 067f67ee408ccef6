import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_files import encode_stored
from drawn_models import blue_model, blue_photo
from drawn_pictures import heic, picture_bytes
from PIL import Image

from skyseg_tf import files
from skyseg_tf.data import listing
from skyseg_tf.errors import InputError
from skyseg_tf.images import turn
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.images.raw_photos import RAW_SUFFIXES
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking import formats, photo_stages
from skyseg_tf.masking.formats import FORMATS
from skyseg_tf.masking.photo_inputs import find_jobs
from skyseg_tf.masking.photo_jobs import mask_photos
from skyseg_tf.masking.prediction import enlarge, predict_image
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.predict import PredictConfig, main, predict


@pytest.fixture
def model(tmp_path):
    return str(blue_model(tmp_path / "blue.onnx", long_side=128))


@pytest.fixture
def photos(tmp_path):
    """Four photos in two folders, one of them without sky."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    photo = Image.fromarray(blue_photo(240, 360))
    photo.save(folder / "a.jpg", quality=95)
    photo.save(folder / "b" / "a.png")
    photo.convert("CMYK").save(folder / "b" / "c.tif")
    Image.new("RGB", (50, 300), (120, 90, 60)).save(folder / "none.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


def read(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_folder_of_photos(photos, model, tmp_path, capsys, batch_size):
    out = tmp_path / "out"
    config = PredictConfig((str(photos),), out=out, model=model, batch_size=batch_size)
    assert predict(config) == 0
    found = sorted(str(p.relative_to(out)) for p in out.rglob("*.*"))
    assert found == ["a.png", "b/a.png", "b/c.png", "none.png"]
    wanted = np.zeros((240, 360), np.uint8)
    wanted[:80] = 255
    for name in found[:3]:
        assert (read(out / name) == wanted).mean() > 0.985, name
    assert not read(out / "none.png").any()
    said = capsys.readouterr().out
    assert "none.png: no sky" in said
    assert "33." in said


def test_the_network_works_on_a_photo_a_worker(photos, model, tmp_path):
    loaded, both = [], threading.Barrier(2, timeout=20)

    def load(config, few, streams):
        runtime = load_runtime(config.model, streams=streams)
        infer = runtime._infer
        runtime._infer = lambda images: (both.wait(), infer(images))[1]
        loaded.append(runtime)
        return runtime

    done = []
    config = PredictConfig((str(photos),), out=tmp_path / "out", model=model, workers=2)
    mask_photos(config, find_jobs(config), True, done.append, load)
    assert [one.failure for one in done] == [""] * 4
    assert [runtime.streams for runtime in loaded] == [2]


@pytest.mark.parametrize("few", [True, False])
def test_few_photos_are_read_while_the_model_loads_and_many_after_it(
    photos, model, tmp_path, monkeypatch, few
):
    is_read, seen, read_photo = threading.Event(), [], photo_stages.read_photo

    def reading(source):
        is_read.set()
        return read_photo(source)

    def load(config, few, streams):
        seen.append(is_read.wait(timeout=20 if few else 0.1))
        return load_runtime(config.model, streams=streams)

    monkeypatch.setattr(photo_stages, "read_photo", reading)
    config, done = PredictConfig((str(photos),), out=tmp_path / "out", model=model), []
    mask_photos(config, find_jobs(config), few, done.append, load)
    assert seen == [few]
    assert [one.failure for one in done] == [""] * 4


def test_masks_of_an_earlier_run_are_no_photos(photos, model):
    config = PredictConfig((str(photos),), out=photos / "masks", model=model, quiet=True)
    assert predict(config) == 0
    assert len(find_jobs(config)) == 4


def test_links_in_a_circle_and_to_nowhere(photos, model, capsys):
    """Looking for masks among the photos, one such link ended the command with a traceback."""
    (photos / "circle.jpg").symlink_to("circle.jpg")
    (photos / "broken.jpg").symlink_to("nowhere.jpg")
    assert predict(PredictConfig((str(photos),), str(photos / "masks"), model=model)) == 0
    assert "2 broken links" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no such file or folder; it is a link to nowhere.jpg"):
        find_jobs(PredictConfig((str(photos / "broken.jpg"),)))


def test_globs_and_names(photos, model):
    def names(*inputs, **options):
        jobs = find_jobs(PredictConfig(inputs, model=model, **options))
        return [str(job.target) for job in jobs]

    assert names(f"{photos}/**/*.png", format="colmap") == [
        "masks/b/a.png.png",
        "masks/none.png.png",
    ]
    assert names(f"{photos}/b", f"{photos}/none.png", format="odm", out="o") == [
        "o/a_mask.png",
        "o/c_mask.png",
        "o/none_mask.png",
    ]


def test_a_photo_by_two_names_is_one(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    for first in ("./photos/a.jpg", str(photos / "a.jpg"), "photos/b/../a.jpg"):
        for kind in ("csv", "mask"):
            jobs = find_jobs(PredictConfig((first, "photos"), format=kind))
            assert len(jobs) == 4
            assert jobs[0].source == first
    os.symlink(
        "a.jpg", "photos/link.jpg"
    )  # the tool that needs the masks looks for one by its name
    assert len(find_jobs(PredictConfig(("photos",)))) == 5


def test_clashes_are_refused_before_anything_is_written(photos, model, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="would both be written as"):
        predict(PredictConfig((f"{photos}/a.jpg", f"{photos}/b/a.png"), out=out, model=model))
    shutil.copy(f"{photos}/b/a.png", f"{photos}/a.png")
    with pytest.raises(
        InputError, match=r"give each suffix an --out of its own, such as '.*/\*\.png'"
    ):
        predict(PredictConfig((str(photos),), out=out, model=model))
    (photos / "a.png").unlink()
    with pytest.raises(InputError, match="would be overwritten"):
        predict(PredictConfig((f"{photos}/b",), out=photos / "b", model=model))
    for inputs, words in (
        ((), "no photo given"),
        ((f"{photos}/*.gif",), "no photo matches"),
        ((f"{photos}/x.jpg",), "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            predict(PredictConfig(inputs, out=out, model=model))
    with pytest.raises(InputError, match="threshold"):
        predict(PredictConfig((str(photos),), out=out, model=model, threshold=1.5))
    assert not out.exists()


def test_a_pattern_that_leads_out_of_the_folder_of_the_masks_is_refused(photos, tmp_path):
    (tmp_path / "beside.jpg").write_bytes((photos / "a.jpg").read_bytes())
    with pytest.raises(InputError, match=r"beside\.jpg: its output would lie outside of .*out"):
        find_jobs(PredictConfig((f"{photos}/*/../../*.jpg",), out=tmp_path / "out"))
    (job,) = find_jobs(PredictConfig((f"{photos}/*/../*.jpg",), out=tmp_path / "out"))
    assert job.target.resolve() == tmp_path / "out" / "a.png"


def test_one_bad_photo_does_not_stop_the_rest(photos, model, tmp_path, capsys):
    whole = (photos / "a.jpg").read_bytes()
    (photos / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.png").write_bytes(b"")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as status:
        main([str(photos), "--out", str(out), "--model", model], "skyseg predict")
    assert status.value.code == 1
    assert len(list(out.rglob("*.png"))) == 4
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in errors] == ["not done"] * 2
    assert {"torn.jpg" in line for line in errors} == {True, False}


def test_photos_of_every_kind(model, tmp_path):
    folder, out = tmp_path / "kinds", tmp_path / "out"
    folder.mkdir()
    photo = Image.fromarray(blue_photo(90, 120))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    photo.save(folder / "turned.jpg", exif=exif, quality=95)
    photo.convert("RGBA").save(folder / "rgba.png")
    photo.convert("L").save(folder / "grey.png")
    photo.convert("P").save(folder / "palette.png")
    Image.fromarray(np.full((40, 30), 40000, np.uint16)).save(folder / "deep.png")
    Image.fromarray(blue_photo(3, 700)).save(folder / "flat.png")
    Image.fromarray(blue_photo(1, 1)).save(folder / "pixel.png")
    assert predict(PredictConfig((str(folder),), out=out, model=model, quiet=True)) == 0
    assert read(out / "turned.png").shape == (120, 90)
    assert (read(out / "turned.png")[:, -20:] == 255).all()
    assert (read(out / "rgba.png")[:25] == 255).all()
    for name in ("grey", "deep"):
        assert not read(out / f"{name}.png").any()
    assert read(out / "flat.png").shape == (3, 700)
    assert read(out / "pixel.png").shape == (1, 1)


def test_stdin_to_stdout_without_tensorflow(model):
    code = (
        "import sys; from skyseg_tf.predict import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop:\n"
        "  heavy = {'tensorflow', 'keras', 'matplotlib', 'torch', 'pandas'} & set(sys.modules)\n"
        "  print(heavy or '', file=sys.stderr); sys.exit(stop.code or bool(heavy))"
    )
    png = io.BytesIO()
    Image.fromarray(blue_photo(90, 120)).save(png, "png")
    for arguments in (["-"], ["-", "--format", "json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--model", model],
            input=png.getvalue(),
            capture_output=True,
            env=os.environ | {"COLUMNS": "100"},
        )
        assert done.returncode == 0, done.stderr
        assert b"% sky" in done.stderr
        if "json" in arguments:
            assert b'"sky": true' in done.stdout
        else:
            assert read(io.BytesIO(done.stdout)).shape == (90, 120)


def test_stdin_that_never_ends_is_refused_like_a_file_as_large(model, monkeypatch, capsys):
    with open("/dev/zero", "rb") as endless:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
        monkeypatch.setattr(files.read_stream, "__defaults__", (10_000_000,))
        assert predict(PredictConfig(("-",), model=model)) == 1
    assert "stdin: 12 MB exceed the limit of 10 MB; give a smaller file" in capsys.readouterr().err


def test_threshold_is_absolute(model):
    runtime = load_runtime(model)
    photo = blue_photo(96, 128)
    photo[:32] = (100, 120, 120)  # sky by 1 / (1 + e)
    probs = np.full((96, 128, 1), 0.27, np.float32)
    assert not predict_image(runtime, photo).is_sky.any()
    assert predict_image(runtime, photo, threshold=0.2).is_sky[:30].mean() > 0.9
    plain = enlarge(runtime, photo, probs, refined=False)
    np.testing.assert_allclose(plain.sky, 0.27, atol=1e-6)


def test_models_of_many_classes(photos, tmp_path):
    streets = blue_model(tmp_path / "s.onnx", scheme="cityscapes19", long_side=128)
    out = tmp_path / "out"
    config = PredictConfig((f"{photos}/b/a.png",), out=out, model=str(streets), format="color")
    assert predict(config) == 0
    color = read(out / "a.png")
    assert (color[:70] == SCHEMES["cityscapes19"].colors[10]).all()
    assert (color[100:] == SCHEMES["cityscapes19"].colors[0]).all()
    with pytest.raises(
        InputError, match=r"threshold 0\.7: of the classes of blue the most probable"
    ):
        predict(replace(config, threshold=0.7, refine=False))
    assert predict(replace(config, threshold=0.7)) == 0
    skyless = blue_model(tmp_path / "t.onnx", scheme="streets11", long_side=128)
    config = PredictConfig((f"{photos}/a.jpg",), out=out, model=str(skyless))
    with pytest.raises(InputError, match="knows no sky"):
        predict(replace(config, format="mask"))
    with pytest.raises(InputError, match="the most probable wins; leave it out"):
        predict(replace(config, threshold=0.7, format="color"))


@pytest.mark.parametrize("scheme", ["cityscapes19", "idd7", "streets11"])
def test_of_many_classes_their_colors_are_written_unless_told(photos, tmp_path, capsys, scheme):
    model = blue_model(tmp_path / "s.onnx", scheme=scheme, long_side=128)
    told = PredictConfig((f"{photos}/b/a.png",), tmp_path / "told", "color", model=str(model))
    untold = replace(told, out=tmp_path / "untold", format=None)
    assert predict(told) == predict(untold) == 0
    np.testing.assert_array_equal(*(read(c.out / "a.png") for c in (told, untold)))
    assert capsys.readouterr().out.count("color (each class in its color") == 2


def test_ids_are_enlarged_as_probabilities(tmp_path):
    """Against the enlargement of every class at once."""
    import cv2

    runtime = load_runtime(blue_model(tmp_path / "s.onnx", scheme="cityscapes19"))
    probs = np.random.default_rng(0).dirichlet(np.ones(19), (20, 31)).astype(np.float32)
    photo = np.zeros((601, 333, 3), np.uint8)
    ids = enlarge(runtime, photo, probs, refined=False).ids
    planes = [
        cv2.resize(probs[..., i], (333, 601), interpolation=cv2.INTER_LINEAR) for i in range(19)
    ]
    assert (ids == np.argmax(planes, 0)).mean() > 0.9999


# --- photos that EXIF turns ---


def test_colmap_masks_fit_the_pixels_that_colmap_reads(model, tmp_path):
    """Upright, 11 % of a portrait photo's sky stayed in and 75 % of its ground was lost."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    upright = blue_photo(360, 240)
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
        for orientation in range(1, 9):
            content = encode_stored(upright, kind, orientation)
            (folder / f"{orientation}.{kind.lower()}").write_bytes(content)
    files = sorted(str(path) for path in folder.iterdir())
    predict(PredictConfig(tuple(files), out=out, format="colmap", model=model, quiet=True))
    for path in folder.iterdir():
        keep = read(out / f"{path.name}.png")
        wanted = turn(keep, int(path.stem))
        assert wanted.shape == (360, 240)
        assert (wanted[:115] == 0).mean() > 0.99, path.name
        assert (wanted[125:] == 255).mean() > 0.99, path.name


# --- --out is a file ---


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ("mask", "a.png"),
        ("npy", "a.NPY"),
        ("json", "b.json"),
        ("csv", "t.csv"),
        ("coco-rle", "c.json"),
    ],
)
def test_out_may_be_the_file_itself(photos, model, tmp_path, format_, name):
    out = tmp_path / "new" / name
    assert (
        predict(
            PredictConfig((f"{photos}/a.jpg",), out=out, format=format_, model=model, quiet=True)
        )
        == 0
    )
    assert [path.name for path in out.parent.iterdir()] == [name]
    assert out.is_file()


@pytest.mark.parametrize(
    ("inputs", "out", "format_", "words"),
    [
        (("a.jpg",), "a.npy", "mask", "mask is written as .png; .*choose --format npy"),
        (("a.jpg",), "a.jpg", "overlay", "overlay is written as .png"),
        (("a.jpg",), "a.mp4", None, "mask is written as .png"),
        (("a.jpg",), "t.csv", "json", "json is written as .json; .*choose --format csv"),
        (("a.jpg",), "a.png", "coco-rle", "coco-rle is written as .json"),
        (("a.jpg", "none.png"), "a.png", "mask", "one file, and these are 2 photos"),
        ((".",), "masks.png", "mask", "one file, and these are 4 photos"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(photos, tmp_path, inputs, out, format_, words):
    config = PredictConfig(
        tuple(f"{photos}/{name}" for name in inputs), out=tmp_path / out, format=format_
    )
    with pytest.raises(InputError, match=words) as told:
        predict(config)
    assert "\n" not in str(told.value)
    assert not (tmp_path / out).exists()


def test_folders_may_have_dots(photos, model, tmp_path):
    for out in (tmp_path / "masks.v2", tmp_path / "was.png"):
        out.mkdir(exist_ok=True)
        predict(PredictConfig((f"{photos}/a.jpg",), out=out, model=model, quiet=True))
        assert (out / "a.png").is_file()


def test_a_folder_that_is_a_file_is_refused_before_any_work(photos, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="a file is in the way"):
        predict(PredictConfig((str(photos),), out=tmp_path / "out"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux's folder where none can be made")
def test_a_folder_that_cannot_be_made_ends_the_command(photos, model):
    with pytest.raises(InputError, match=r"/proc/x(/b)?: no such folder can be made"):
        predict(PredictConfig((str(photos),), out=Path("/proc/x"), model=model))


def test_a_photo_that_vanished_is_told_of_in_words(photos, model, tmp_path, capsys, monkeypatch):
    real = photo_stages.read_photo

    def vanish(path):
        Path(path).unlink()
        return real(path)

    monkeypatch.setattr(photo_stages, "read_photo", vanish)
    gone = photos / "a.jpg"
    assert predict(PredictConfig((str(gone),), out=tmp_path / "out", model=model)) == 1
    told = f"not done: No such file or directory ({gone}); check the path\n"
    assert capsys.readouterr().err.endswith(told)


# --- outputs beside the photos ---


@pytest.mark.parametrize("format_", ["odm", "metashape", "colmap", "mask", "overlay", "rgba-nosky"])
def test_masks_beside_the_photos_are_no_photos(photos, model, format_):
    (photos / "b" / "a.png").unlink()
    (photos / "none.png").rename(photos / "none.bmp")
    config = PredictConfig((str(photos),), out=photos, format=format_, model=model, quiet=True)
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert predict(config) == 0
    first = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert len(first) == len(before) + 3
    assert predict(config) == 0
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == first
    assert before.items() <= first.items()
    left_out = {}
    other = PredictConfig((f"{photos}/**/*.*",), out=photos / "others", model=model)
    assert len(find_jobs(other, left_out)) == len(left_out["masks"]) == 3


def test_what_is_taken_for_a_mask_is_said(photos, model, tmp_path, capsys):
    Image.fromarray(blue_photo()).save(photos / "a_mask.png")
    assert predict(PredictConfig((str(photos),), out=tmp_path / "out", model=model)) == 0
    assert f"left out: 1 .txt, 1 mask ({photos}/a_mask.png)" in capsys.readouterr().out


def test_a_photo_that_was_not_asked_for_is_not_overwritten(photos, model):
    (photos / "a.png").write_bytes((photos / "none.png").read_bytes())
    with pytest.raises(InputError, match=r"a.png lies among the photos, was not written here"):
        predict(PredictConfig((f"{photos}/*.jpg",), out=photos, model=model))


# --- one file for all photos ---


def test_one_table_of_a_folder_whatever_fails(photos, model, tmp_path, capsys):
    (photos / "b" / "bad, torn.jpg").write_bytes(b"\xff\xd8")
    (photos / "comma, ü.png").write_bytes((photos / "none.png").read_bytes())
    out = tmp_path / "out"
    assert predict(PredictConfig((str(photos),), out=out, format="csv", model=model)) == 1
    assert [path.name for path in out.iterdir()] == ["sky.csv"]
    rows = list(csv.DictReader((out / "sky.csv").open(encoding="utf-8")))
    assert [row["file"] for row in rows] == [
        "a.jpg",
        "b/a.png",
        "b/c.tif",
        "comma, ü.png",
        "none.png",
    ]
    assert [row["sky"] for row in rows] == ["True", "True", "True", "False", "False"]
    assert float(rows[1]["sky_share"]) == pytest.approx(1 / 3, abs=0.02)
    assert "bad, torn.jpg" in capsys.readouterr().err


def test_names_that_are_no_text_keep_their_bytes(photos, model, tmp_path):
    bad = os.fsencode(photos / "b") + b"/\xff.png"
    with open(bad, "wb") as file:
        file.write((photos / "none.png").read_bytes())
    for format_, name in (("csv", "t.csv"), ("coco-rle", "c.json")):
        config = PredictConfig(
            (f"{photos}/b",), out=tmp_path / name, format=format_, model=model, quiet=True
        )
        assert predict(config) == 0
    assert b"\n\xff.png,300,50,False" in (tmp_path / "t.csv").read_bytes()
    assert json.loads((tmp_path / "c.json").read_text())["images"][-1]["file_name"] == "\udcff.png"


def test_names_in_a_table_are_told_apart(photos, model, tmp_path):
    (photos / "b" / "a.jpg").write_bytes((photos / "a.jpg").read_bytes())
    inputs = (f"{photos}/b/a.png", f"{photos}/b", str(photos), f"{photos}/b/a.png")
    out = tmp_path / "t.csv"
    assert predict(PredictConfig(inputs, out=out, format="csv", model=model, quiet=True)) == 0
    names = [row["file"] for row in csv.DictReader(out.open())]
    assert len(set(names)) == len(names) == 5


def test_one_coco_file_of_a_folder(photos, model, tmp_path):
    from test_formats import decode_rle

    out = tmp_path / "out"
    assert (
        predict(PredictConfig((str(photos),), out=out, format="coco-rle", model=model, quiet=True))
        == 0
    )
    coco = json.loads((out / "coco.json").read_text())
    images = {image["id"]: image for image in coco["images"]}
    assert [image["file_name"] for image in images.values()] == [
        "a.jpg",
        "b/a.png",
        "b/c.tif",
        "none.png",
    ]
    assert coco["categories"] == [{"id": 1, "name": "sky"}]
    assert [one["image_id"] for one in coco["annotations"]] == [1, 2, 3]  # none.png has no sky
    assert [one["id"] for one in coco["annotations"]] == [1, 2, 3]
    for one in coco["annotations"]:
        image = images[one["image_id"]]
        mask = decode_rle(one["segmentation"])
        assert mask.shape == (image["height"], image["width"])
        assert (mask.sum(), one["category_id"], one["iscrowd"]) == (one["area"], 1, 0)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top, width, height = one["bbox"]
        assert (left, left + width - 1) == (columns[0], columns[-1])
        assert (top, top + height - 1) == (rows[0], rows[-1])


def test_tables_go_to_stdout(photos, model, capfdbinary):
    assert (
        predict(PredictConfig((str(photos),), out="-", format="csv", model=model, quiet=True)) == 0
    )
    assert capfdbinary.readouterr().out.count(b"\n") == 5


# --- failures ---


@pytest.mark.parametrize("stage", ["read_photo", "infer", "finish"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (NotImplementedError("odd\nkind"), "NotImplementedError: odd kind"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
    ],
    ids=["memory", "odd", "disk"],
)
def test_no_error_over_one_photo_ends_the_rest(
    photos, model, tmp_path, monkeypatch, capsys, stage, error, words
):
    def failing(function, is_bad):
        def run(*arguments, **options):
            if is_bad(arguments):
                raise error
            return function(*arguments, **options)

        return run

    if stage == "read_photo":
        bad = lambda arguments: arguments[0].endswith("none.png")  # noqa: E731
    else:  # none.png alone is 300 x 50
        bad = lambda arguments: arguments[1][0].shape[0] == 300  # noqa: E731
    if stage == "finish":
        from skyseg_tf.masking import photo_jobs as module

        bad = lambda arguments: arguments[1].shape[0] == 300  # noqa: E731
        monkeypatch.setattr(module, "enlarge", failing(enlarge, bad))
    else:
        monkeypatch.setattr(photo_stages, stage, failing(getattr(photo_stages, stage), bad))
    out = tmp_path / "out"
    assert predict(PredictConfig((str(photos),), out=out, model=model)) == 1
    assert len(list(out.rglob("*.png"))) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "none.png" in lines[0]
    assert words in lines[0]


def test_a_full_disk_ends_it(photos, model, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats, "write_png", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/out/.*\.png'"):
        predict(PredictConfig((str(photos),), out=tmp_path / "out", model=model))


def test_formats_are_all_told_of_and_slips_are_guessed(capsys):
    with pytest.raises(SystemExit):
        main(["x.jpg", "--format", "colmapp"], "skyseg predict")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "did you mean colmap?" in told
    with pytest.raises(SystemExit):
        main(["--help"], "skyseg predict")
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in FORMATS)


# --- what lies in folders ---


def test_every_readable_kind_and_linked_folders_are_done(model, tmp_path, capsys):
    folder, elsewhere, out = tmp_path / "photos", tmp_path / "elsewhere", tmp_path / "out"
    for path in (folder / "sub", elsewhere, folder / ".cache"):
        path.mkdir(parents=True)
    photo = Image.fromarray(blue_photo(90, 120))
    kinds = {
        "a.jfif": "JPEG",
        "b.jpe": "JPEG",
        "c.avif": "AVIF",
        "d.jp2": "JPEG2000",
        "e.gif": "GIF",
        "f.mpo": "MPO",
        "g.JPG": "JPEG",
        "h.ppm": "PPM",
    }
    for name, kind in kinds.items():
        photo.save(folder / name, kind)
    (folder / "i.heic").write_bytes(heic(np.kron(blue_photo(), np.ones((2, 2, 1), np.uint8))))
    photo.save(elsewhere / "far.png")
    (folder / "sub" / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)  # a circle
    (folder / "again").symlink_to(folder / "sub")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    for name in ("1.mp4", "2.MOV", "3.txt", "4.csv", "5.txt", ".hidden.jpg", ".cache/x.jpg", "6"):
        (folder / name).write_bytes(b"")
    os.mkfifo(folder / "pipe.jpg")
    assert predict(PredictConfig((str(folder),), out=out, model=model)) == 0
    found = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert found == [*(f"{name[0]}.png" for name in sorted(kinds)), "i.png", "sub/linked/far.png"]
    assert (
        "left out: 2 .txt, 2 broken links, pipes or devices, 2 hidden, 2 videos (give their "
        "names, such as 'DIR/*.mp4'), 1 .csv, 1 without a suffix" in capsys.readouterr().out
    )


def test_one_of_a_raw_photo_and_its_picture(photos, model, tmp_path, monkeypatch):
    for name in ("a.cr2", "b/alone.dng"):
        (photos / name).write_bytes(b"II*\0")
    left_out = {}
    jobs = find_jobs(PredictConfig((str(photos),), out=tmp_path / "out"), left_out)
    assert [job.name for job in jobs] == ["a.jpg", "b/a.png", "b/alone.dng", "b/c.tif", "none.png"]
    assert left_out["raw beside a picture of their name"] == [photos / "a.cr2"]
    monkeypatch.setattr(listing, "IMAGE_SUFFIXES", set(IMAGE_SUFFIXES) - set(RAW_SUFFIXES))
    left_out = {}
    jobs = find_jobs(PredictConfig((str(photos),), out=tmp_path / "out"), left_out)
    assert "b/alone.dng" not in [job.name for job in jobs]
    assert len(left_out["raw photos (pip install 'skyseg_tf[raw]' to read them)"]) == 2


def test_a_folder_without_photos_says_what_is_there(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(
        InputError,
        match=r"no photos there, only 1 video \(give their names, such as \'DIR/\*\.mp4\'"
        r".*; a photo's name ends in \.jpg, \.png, \.heic, \.tif or the like",
    ):
        find_jobs(PredictConfig((str(tmp_path),)))


def test_a_photo_that_is_not_there_is_answered_with_the_one_that_was_meant(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    for name, told in (("foto.jpg", f"did you mean {tmp_path / 'photo.jpg'}?"), ("x", "check the")):
        with pytest.raises(InputError, match=f"{name}: no such file or folder; {re.escape(told)}"):
            find_jobs(PredictConfig((str(tmp_path / name),)))


def test_names_of_any_bytes_stay_on_one_line(model, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = picture_bytes(blue_photo(90, 120), "PNG")
    for name in (b"new\nline.png", b"byte\xff.png", b"\x1b[31mred.png"):
        for prefix, content in ((b"", photo), (b"bad", photo[:200])):
            with open(os.fsencode(folder) + b"/" + prefix + name, "wb") as file:
                file.write(content)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "skyseg_tf.predict",
            folder,
            "--out",
            tmp_path / "o",
            "--model",
            model,
        ],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 1, done.stderr
    assert len(list((tmp_path / "o").iterdir())) == 3
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 3
    assert all("not done: " in line for line in lines)
    assert len(done.stdout.decode().splitlines()) == 4
    for escape in ("new\\nline.png", "byte\\udcff.png", "\\x1b[31mred.png"):
        assert escape in done.stdout.decode()
