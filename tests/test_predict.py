import io
import os
import subprocess
import sys

import numpy as np
import pytest
from drawn_models import blue_model, blue_photo
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.predict import PredictConfig, find_jobs, main, predict
from skyseg_tf.prediction import enlarge, predict_image
from skyseg_tf.runtime import load_runtime


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
    config = PredictConfig((str(photos),), out, model=model, batch_size=batch_size)
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


def test_masks_of_an_earlier_run_are_no_photos(photos, model):
    config = PredictConfig((str(photos),), photos / "masks", model=model, quiet=True)
    assert predict(config) == 0
    assert len(find_jobs(config)) == 4


def test_globs_and_names(photos, model):
    def names(*inputs, **options):
        jobs = find_jobs(PredictConfig(inputs, model=model, **options))
        return [str(job.target) for job in jobs]

    assert names(f"{photos}/**/*.png", format="colmap") == [
        "masks/b/a.png.png",
        "masks/none.png.png",
    ]
    assert names(f"{photos}/b", f"{photos}/none.png", format="odm", out="o") == [
        "o/a_mask.png", "o/c_mask.png", "o/none_mask.png",
    ]  # fmt: skip


def test_clashes_are_refused_before_anything_is_written(photos, model, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="would both be written as"):
        predict(PredictConfig((f"{photos}/a.jpg", f"{photos}/b/a.png"), out, model=model))
    with pytest.raises(InputError, match="would be overwritten"):
        predict(PredictConfig((f"{photos}/b",), photos / "b", model=model))
    for inputs, words in (
        ((), "no photo given"),
        ((f"{photos}/*.gif",), "no photo matches"),
        ((f"{photos}/x.jpg",), "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            predict(PredictConfig(inputs, out, model=model))
    with pytest.raises(InputError, match="threshold"):
        predict(PredictConfig((str(photos),), out, model=model, threshold=1.5))
    assert not out.exists()


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
    assert predict(PredictConfig((str(folder),), out, model=model, quiet=True)) == 0
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
            input=png.getvalue(), capture_output=True, env=os.environ | {"COLUMNS": "100"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"% sky" in done.stderr
        if "json" in arguments:
            assert b'"sky": true' in done.stdout
        else:
            assert read(io.BytesIO(done.stdout)).shape == (90, 120)


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
    config = PredictConfig((f"{photos}/b/a.png",), out, model=str(streets), format="color")
    assert predict(config) == 0
    color = read(out / "a.png")
    assert (color[:70] == SCHEMES["cityscapes19"].colors[10]).all()
    assert (color[100:] == SCHEMES["cityscapes19"].colors[0]).all()
    skyless = blue_model(tmp_path / "t.onnx", scheme="streets11", long_side=128)
    config = PredictConfig((f"{photos}/a.jpg",), out, model=str(skyless))
    with pytest.raises(InputError, match="knows no sky"):
        predict(config)


def test_ids_are_enlarged_as_probabilities(tmp_path):
    """Against the enlargement of every class at once."""
    import cv2

    runtime = load_runtime(blue_model(tmp_path / "s.onnx", scheme="cityscapes19"))
    probs = np.random.default_rng(0).dirichlet(np.ones(19), (20, 31)).astype(np.float32)
    photo = np.zeros((601, 333, 3), np.uint8)
    ids = enlarge(runtime, photo, probs, refined=False).ids
    planes = [cv2.resize(probs[..., i], (333, 601), interpolation=cv2.INTER_LINEAR) for i in range(19)]  # fmt: skip
    assert (ids == np.argmax(planes, 0)).mean() > 0.9999
