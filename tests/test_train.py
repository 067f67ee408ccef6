import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_trees import add_scene, cityscapes, flat
from PIL import Image

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.errors import InputError
from skyseg_tf.evaluate import EvaluateConfig, evaluate
from skyseg_tf.labels import SCHEMES, get_scheme
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.models import MODELS, Network, blocks, build_model
from skyseg_tf.runs.folder import read_run_data, write_json
from skyseg_tf.train import TrainConfig, main, train
from skyseg_tf.training import loop as fitting
from skyseg_tf.training import story
from skyseg_tf.training.batches import class_pixels, make_batches
from skyseg_tf.training.checkpoints import load_initial_weights
from skyseg_tf.training.job import Job
from skyseg_tf.training.settings_check import augment_of, check_flags
from skyseg_tf.training.settle import with_network
from tools.box import BoxConfig, box

pytestmark = pytest.mark.usefixtures("tiny", "undrawn")


@pytest.mark.slow
def test_a_script_loads_the_model_with_one_import(run):
    code = (
        "import sys, keras, numpy as np, skyseg_tf.models; "
        "model = keras.models.load_model(sys.argv[1]); "
        "print(model.predict_on_batch(np.zeros((1, 32, 64, 3))).shape)"
    )
    argv = [sys.executable, "-c", code, run / "model.keras"]
    result = subprocess.run(argv, capture_output=True, text=True)
    assert result.stdout.strip().endswith("(1, 32, 64, 1)"), result.stderr[-2000:]


@pytest.fixture(scope="module")
def run(records, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    config = TrainConfig(
        records=records, model="skynet", epochs=2, batch_size=4, learning_rate=3e-2,
        run=folder / "run", plots=folder / "plots", quiet=True,
    )  # fmt: skip
    assert train(config) == folder / "run"
    return folder / "run"


def test_run_folder_is_complete(run):
    config = json.loads((run / "config.json").read_text())
    assert config["model"] == "skynet"
    data = read_run_data(run)
    assert (data.scheme, data.image_size) == (SCHEMES["sky"], (32, 64))
    facts = json.loads((run / "environment.json").read_text())
    assert {"keras", "tensorflow", "numpy"} <= set(facts["versions"])
    with open(run / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss", "iou", "val_loss", "val_iou"} <= set(rows[0])
    for name in ("iou_scores", "learning_curves", "confusion_matrix", "predictions"):
        assert (run / "plots" / f"{name}.png").stat().st_size > 5000
    assert (run.parent / "plots" / "skynet_iou_scores.png").exists()
    assert list((run / "tensorboard").iterdir())
    assert not list(run.rglob("*.tmp*"))


def test_metrics_are_those_of_the_saved_model(run, records):
    """model.keras takes raw RGB and gives probabilities: from it alone follow the metrics."""
    scores = json.loads((run / "metrics.json").read_text())
    assert scores["protocol"]
    model = keras.models.load_model(run / "model.keras")
    manifest = read_manifest(records)
    matrix = np.zeros((2, 2), np.int64)
    for images, masks in make_dataset(records, "val", 1):
        raw = denormalize(images.numpy(), manifest.rgb_stats)
        probs = model.predict_on_batch(raw.astype(np.float32))
        assert probs.dtype == np.float32
        assert 0 <= probs.min() <= probs.max() <= 1
        keep = masks.numpy() != 255
        pairs = np.stack([masks.numpy()[keep], probs[..., 0][keep] > 0.5]).astype(int)
        matrix += np.bincount(pairs[0] * 2 + pairs[1], minlength=4).reshape(2, 2)
    # Rounding may turn a pixel whose probability is one half.
    assert np.abs(matrix - np.array(scores["confusion_matrix"])).sum() <= 4
    sky = matrix[1, 1] / (matrix[1].sum() + matrix[:, 1].sum() - matrix[1, 1])
    assert scores["iou"]["sky"] == pytest.approx(sky, abs=1e-3)


def test_a_run_stands_alone_when_its_records_are_gone(run, records, tree, tmp_path):
    alone, manifest = tmp_path / "alone", read_manifest(records)
    shutil.copytree(run, alone)
    config = json.loads((alone / "config.json").read_text())
    (alone / "config.json").write_text(json.dumps(config | {"records": "gone"}))
    data = read_run_data(alone)
    assert data.rgb_stats == manifest.rgb_stats
    assert data.photos == {name: split.count for name, split in manifest.splits.items()}
    assert load_runtime(alone / "model.keras", "keras").facts.long_side == 64
    folder = evaluate(EvaluateConfig(model=alone, source=tree, worst=0, quiet=True))
    assert json.loads((folder / "metrics.json").read_text())["input_size"] == [64]
    with pytest.raises(InputError, match=r"its records \(gone\) are not there; give --records or"):
        evaluate(EvaluateConfig(model=alone, quiet=True))
    (alone / "dataset.json").unlink()
    assert read_run_data(alone) is None
    (alone / "config.json").write_text(json.dumps(config))  # as runs were before
    assert read_run_data(alone) == replace(data, records_sha256="")
    (alone / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json: damaged, not JSON"):
        read_run_data(alone)


@pytest.mark.usefixtures("reaches_urls")
def test_errors_pass_where_copies_of_extra_records_are_whole(records, tmp_path, monkeypatch):
    """They were looked for at their URL, as a folder, and told to be missing."""
    given = TrainConfig(
        records=records, extra_records=(Path("s3://bucket/more"),), precision="float32",
        run=tmp_path / "run",
    )  # fmt: skip
    job = Job(replace(given, extra_records=(records,)), read_manifest(records))
    monkeypatch.setattr(story, "settle", lambda config: job)
    monkeypatch.setattr(story, "check_step", lambda job: None)
    monkeypatch.setattr(story, "_train_one", lambda *_: tf.reshape(tf.zeros(3), (2, 2)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        train(given)


def test_training_learns(run):
    with open(run / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def diverging(records, folder, **changes):
    config = TrainConfig(
        records=records, model="skynet", epochs=3, batch_size=4, learning_rate=1e30,
        optimizer="sgd", run=folder / "run", plots=folder / "p", quiet=True,
    )  # fmt: skip
    return replace(config, **changes)


def test_a_loss_that_is_no_number_ends_the_training_at_its_step(records, tmp_path):
    """The first step's loss is a number; its gradients ruin the second one's."""
    config = diverging(records, tmp_path, checkpoint_steps=1)
    line = r"epoch 1, step 2 of \d+: the loss is (nan|inf), .*lower --learning-rate, more --warmup"
    with pytest.raises(InputError, match=line) as error:
        train(config)
    assert "--precision" not in str(error.value)
    assert "--init" not in str(error.value)  # there is nothing to start from
    assert not (tmp_path / "run" / "model.keras").exists()
    with pytest.raises(SystemExit) as status:
        main(["--resume", str(config.run)])
    assert status.value.code == 2


def test_weights_that_are_no_numbers_replace_no_good_checkpoint(records, tmp_path, monkeypatch):
    """Here all is well for an epoch, and the last step of the second one ruins a weight."""
    before = fitting._train_epoch

    def breaking(model, batches, epoch, callbacks):
        trained = before(model, batches, epoch, callbacks)
        if epoch == 1:
            bias = next(v for v in model.trainable_variables if v.path == "outputConv/bias")
            bias.assign(np.full(bias.shape, np.nan))
        return trained

    monkeypatch.setattr(fitting, "_train_epoch", breaking)
    config = diverging(records, tmp_path, learning_rate=1e-3, ema=0.0)
    line = rf"epoch 2, step 3 of 3: the val loss is nan.* --init {config.run}, whose best epoch"
    with pytest.raises(InputError, match=line):
        train(config)
    for name in ("last", "best"):
        with np.load(config.run / "checkpoints" / f"{name}.npz") as file:
            assert all(np.isfinite(file[key]).all() for key in file.files)
    saved = keras.models.load_model(config.run / "model.keras")
    assert np.isfinite(saved.predict_on_batch(np.zeros((1, 32, 64, 3)))).all()


def test_same_seed_same_weights(records, tmp_path):
    config = TrainConfig(
        records=records, model="skynet", epochs=1, batch_size=4, plots=tmp_path / "p", quiet=True
    )
    weights = []
    for i, seed in enumerate((0, 0, 1)):
        folder = train(replace(config, run=tmp_path / str(i), seed=seed))
        with np.load(folder / "checkpoints" / "last.npz") as file:
            weights.append(np.concatenate([file[n].ravel() for n in file.files if "kernel" in n]))
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize(("teach", "ids"), [("all", [0, 2, 10]), ("known", [0, 10, 255])])
def test_extra_records_teach_all_or_the_known_classes(tmp_path, teach, ids):
    for name, values in (("photos", (7, 23)), ("scenes", (7, 11, 23))):  # 11: building
        for seed, split in enumerate(("train", "val")):
            add_scene(tmp_path / name, split, "ulm", seed, values)
        build(BuildConfig(
            source=tmp_path / name, out=tmp_path / f"{name}_records", scheme="cityscapes19",
            image_size=(8, 16), storage="uint8", quiet=True,
        ))  # fmt: skip
    config = TrainConfig(
        records=tmp_path / "photos_records", extra_records=(tmp_path / "scenes_records",),
        extra_classes=teach, augment="none", batch_size=2,
    )  # fmt: skip
    ((_, masks),) = make_batches(config, get_scheme("cityscapes19")).train(0, 0)
    assert np.unique(masks).tolist() == ids
    # What --class-weights count is what is learned from.
    counted = np.bincount(np.ravel(masks), minlength=256)[:19]
    assert class_pixels(config).tolist() == counted.tolist()


def test_mixed_precision_trains_what_computes_in_float32(records, tmp_path):
    """ONNX Runtime has no bfloat16, and photos are masked where nobody trains."""
    config = TrainConfig(
        records=records, model="skynet", epochs=1, batch_size=4, precision="mixed_bfloat16",
        run=tmp_path / "run", plots=tmp_path / "p", quiet=True,
    )  # fmt: skip
    train(config)
    saved = keras.models.load_model(tmp_path / "run" / "model.keras")
    parts = [layer for part in saved.layers for layer in getattr(part, "layers", [part])]
    assert {layer.compute_dtype for layer in parts} == {"float32"}
    trained = build_model("skynet", 1)
    load_initial_weights(tmp_path / "run", trained)  # of the checkpoint
    for ours, theirs in zip(saved.weights, trained.weights, strict=True):  # no dropout seeds
        assert np.array_equal(ours, theirs)


def test_averaged_weights_are_what_is_saved(records, tmp_path):
    config = TrainConfig(
        records=records, model="skynet", epochs=1, batch_size=4, ema=0.9, run=tmp_path / "run",
        plots=tmp_path / "p", quiet=True,
    )  # fmt: skip
    train(config)
    with np.load(tmp_path / "run" / "checkpoints" / "last.npz") as file:
        last = {name.split(":")[1]: file[name] for name in file.files if ":" in name}
    saved = keras.models.load_model(tmp_path / "run" / "model.keras")
    kernel = next(v for v in saved.variables if "outputConv" in v.path and v.name == "kernel")
    average = next(a for name, a in last.items() if name == "outputConv_kernel_average")
    assert np.array_equal(kernel, average)
    assert not any(np.array_equal(kernel, a) for n, a in last.items() if n == "kernel")


@pytest.mark.parametrize(("opens", "ids"), [(False, {8, 10}), (True, {10})])
def test_open_crowns_changes_what_is_trained_alone(tmp_path, opens, ids):
    """All is white, so that all that is labeled vegetation has the color of the sky beside it."""
    for seed, split in enumerate(("train", "val")):
        name = add_scene(tmp_path / "tree", split, "ulm", seed, (21, 23))
        photo = tmp_path / "tree" / "leftImg8bit" / split / "ulm" / f"{name}_leftImg8bit.png"
        Image.new("RGB", (16, 8), (250, 250, 250)).save(photo)
    records = tmp_path / "records"
    build(BuildConfig(
        source=tmp_path / "tree", out=records, scheme="cityscapes19", image_size=(8, 16),
        storage="uint8", quiet=True,
    ))  # fmt: skip
    config = TrainConfig(records=records, augment="none", batch_size=1, open_crowns=opens)
    batches = make_batches(config, get_scheme("cityscapes19"))
    ((_, masks),) = batches.train(0, 0)
    assert set(np.unique(masks)) == ids
    assert set(np.unique(next(iter(batches.val))[1])) == {8, 10}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "cityscapes19"}, r"records of scheme 'sky' .*, not 'cityscapes19'"),
        ({"image_size": (64, 64)}, "records of 32x64, not 64x64"),
        ({"model": "resnet99"}, "no network 'resnet99'"),
        ({"optimizer": "adamm"}, "no optimizer 'adamm': there are adam"),
        ({"loss": "mse"}, "no loss 'mse'"),
        (
            {"augment": "wild"},
            "no augment 'wild': there are none, flip, light, geometric, default, strong",
        ),
        ({"ema": 1.0}, "--ema is 1.0: a decay from 0 to below 1"),
        ({"epochs": 0}, "--epochs is 0: at least 1"),
        ({"extra_records": ("/nowhere",)}, "no such file or folder"),
        ({"extra_classes": "some"}, "no extra classes 'some': there are all, known"),
        (
            {"open_crowns": True},
            "--open-crowns needs classes of the sky and of vegetation, the rec",
        ),
        ({"batch_size": 99}, "fewer than one batch of 99"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(records, tmp_path, changes, message):
    config = replace(TrainConfig(records=records, run=tmp_path / "run", quiet=True), **changes)
    with pytest.raises(InputError, match=message):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "split 'val' is empty .*has photos in: train"),
        ({"image_size": (30, 64)}, "skynet: height must be divisible by 4: use --image-size 32 64"),
        ({"augment": "wild"}, "no augment 'wild'"),
    ],
)
def test_what_no_records_can_mend_is_refused_before_they_are_built(tmp_path, changes, message):
    source = cityscapes(tmp_path / "tree")
    shutil.rmtree(source / "leftImg8bit" / "val")
    (source / "leftImg8bit" / "val").mkdir()
    words = [f"--source={source}", "--model=skynet", f"--data={tmp_path / 'data'}"]
    words += [f"--run={tmp_path / 'run'}", f"--plots={tmp_path / 'plots'}", "--quiet"]
    for name, value in changes.items():
        words += [
            f"--{name.replace('_', '-')}",
            *([value] if name == "augment" else map(str, value)),
        ]
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2
    with pytest.raises(InputError, match=message) as error:
        train(
            replace(
                TrainConfig(source=source, model="skynet", data=tmp_path / "data", quiet=True),
                **changes,
            )
        )
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_photos_get_the_light_augmentation_unless_one_is_given():
    photos = TrainConfig(records=Path("records"))
    assert augment_of(photos) == "light"
    assert augment_of(replace(photos, augment="strong")) == "strong"
    assert augment_of(TrainConfig()) == "flip"  # the demo
    assert augment_of(TrainConfig(source=Path("tree"))) == "light"


def test_accumulated_batches_equal_the_bigger_batch(tmp_path, monkeypatch):
    """For a network without batch normalization, and photos that are labeled to the last pixel
    (the loss of a batch is the mean over its labeled pixels)."""

    def plain(num_classes, size):
        image = keras.Input((*size, 3), name="image")
        x = blocks.relu(blocks.conv(image, 8, 3, "conv", bias=True))
        logits = blocks.conv(x, num_classes, 1, "outputConv", bias=True)
        return keras.Model(image, {"logits": logits}, name="skynet")

    monkeypatch.setitem(MODELS, "skynet", Network(plain))
    source = tmp_path / "source"
    flat(source, [f"t{i}" for i in range(16)], split="train")
    flat(source, ["v0", "v1"], split="val")
    config = TrainConfig(
        source=source, data=tmp_path, image_size=(16, 16), model="skynet", epochs=3, batch_size=8,
        optimizer="sgd", learning_rate=0.1, loss="cross_entropy", weight_decay=1e-3, ema=0.9,
        warmup_steps=0, augment="none", plots=tmp_path / "plots", quiet=True,
    )  # fmt: skip
    weights, losses = [], []
    for batch_size, accumulate in ((8, 1), (2, 4), (2, 1)):
        run = tmp_path / f"{batch_size}x{accumulate}"
        train(replace(config, run=run, batch_size=batch_size, accumulate=accumulate))
        model = keras.models.load_model(run / "model.keras")
        weights.append(np.concatenate([array.ravel() for array in model.get_weights()]))
        with open(run / "history.csv") as file:
            losses.append([float(row["val_loss"]) for row in csv.DictReader(file)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)  # of all epochs, by their averages
    assert not np.allclose(losses[2], losses[0], rtol=1e-3)
    np.testing.assert_allclose(weights[1], weights[0], rtol=0, atol=2e-6)
    assert np.abs(weights[2] - weights[0]).max() > 1e-3


def test_data_that_is_a_dataset_is_not_trained_beside(tree, records, tmp_path):
    for data, flag in ((records, "--records"), (tree, "--source")):
        with pytest.raises(InputError, match=f"give this dataset by {flag} {data}"):
            train(TrainConfig(data=data, run=tmp_path / "run"))
    assert not (tree / "demo_scenes").exists()
    (tmp_path / "data.yaml").touch()  # as Ultralytics has it
    for name in ("data.yaml", "gone.yml"):
        with pytest.raises(InputError, match=rf"--data .*{name}: .*folder by --source"):
            train(TrainConfig(data=tmp_path / name, run=tmp_path / "run"))


def test_options_of_the_network_are_kept_in_the_run(records, tmp_path, monkeypatch):
    def optional(num_classes, size, *, filters: int = 2, twice: bool = False):
        image = keras.Input((*size, 3), name="image")
        x = blocks.relu(blocks.conv(image, filters, 3, "conv", bias=True))
        x = blocks.conv(x, filters, 3, "conv2") if twice else x
        logits = blocks.conv(x, num_classes, 1, "outputConv", bias=True)
        return keras.Model(image, {"logits": logits}, name="skynet")

    monkeypatch.setitem(MODELS, "skynet", Network(optional))
    words = ["--records", records, "--model", "skynet", "--epochs", "1", "--batch-size", "4",
             "--run", tmp_path / "run", "--plots", tmp_path / "p", "--quiet",
             "--model-options", "filters=3", "twice=true"]  # fmt: skip
    for given in (words, ["--resume", tmp_path / "run", "--epochs", "2", "--quiet"]):
        with pytest.raises(SystemExit) as status:
            main([*map(str, given)])
        assert status.value.code == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["model_options"] == ["filters=3", "twice=true"]
    saved = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert saved.count_params() == 27 * 3 + 3 + 27 * 3 + 3 + 1
    with pytest.raises(
        InputError, match=r"best.npz: of another network than skynet, or with other"
    ):
        load_initial_weights(tmp_path / "run", build_model("skynet", 1))


def test_half_precision_needs_a_gpu(records, tmp_path, monkeypatch):
    config = TrainConfig(records=records, precision="mixed_float16", run=tmp_path / "run")
    with pytest.raises(
        InputError, match=r"mixed_float16 is for GPUs.* choose mixed_bfloat16, floa"
    ):
        train(config)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("skyseg_tf.training.precision.has_gpu", lambda: True)
    check_flags(config)


def test_steps_that_loss_scaling_skips_end_no_training(records, tmp_path, monkeypatch):
    """In float16 the first gradients overflow until the scale is found; the loss is a number."""
    monkeypatch.setattr("skyseg_tf.training.precision.has_gpu", lambda: True)
    before = keras.optimizers.LossScaleOptimizer.__init__
    monkeypatch.setattr(
        keras.optimizers.LossScaleOptimizer,
        "__init__",
        lambda self, inner, **options: before(self, inner, **options | {"initial_scale": 2.0**40}),
    )
    config = diverging(
        records, tmp_path, learning_rate=1e-3, epochs=1, precision="mixed_float16", batch_size=2
    )
    train(config)
    with np.load(config.run / "checkpoints" / "last.npz") as file:
        scale = next(file[n] for n in file.files if n.endswith("dynamic_scale"))
    assert scale < 2.0**40  # steps were skipped


@pytest.mark.parametrize(
    ("error", "xla", "message"),
    [
        (tf.errors.ResourceExhaustedError, False, "memory does not hold --batch-size 8; give a sm"),
        (tf.errors.InvalidArgumentError, True, "--xla: XLA cannot compile a training step of sky"),
        (tf.errors.InvalidArgumentError, False, None),
    ],
)
def test_what_a_device_cannot_do_is_told_in_one_line(
    records, tmp_path, monkeypatch, error, xla, message
):
    def failing(*_):
        raise error(None, None, "node bincount\nof many lines")

    monkeypatch.setattr("skyseg_tf.training.story._train_one", failing)
    config = TrainConfig(records=records, xla=xla, run=tmp_path / "run")
    with pytest.raises(InputError if message else error, match=message or "many lines"):
        train(config)


def test_ctrl_c_ends_with_a_usable_run(records, tmp_path):
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "tiny_network.py", "--records", records,
         "--model", "skynet",
         "--batch-size", "4", "--epochs", "500", "--run", tmp_path / "run",
         "--plots", tmp_path / "plots", "--quiet"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    assert process.wait() == 0
    assert "finishing with what there is" in rest
    assert os.path.exists(tmp_path / "run" / "metrics.json")
    assert os.path.exists(tmp_path / "run" / "model.keras")


def test_init_takes_the_weights_and_leaves_a_head_that_does_not_fit(run, capsys):
    same, other = build_model("skynet", 1), build_model("skynet", 19)
    assert load_initial_weights(run, same) == []
    head = build_model("skynet", 19).layers[-1].name
    assert [head in path for path in load_initial_weights(run, other)] == [True, True]
    for a, b in zip(same.get_weights()[:-2], other.get_weights()[:-2], strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(InputError, match="of another network than u2netp"):
        load_initial_weights(run, build_model("u2netp", 1))
    with pytest.raises(InputError, match=r"best\.npz is missing"):
        load_initial_weights(run / "plots", same)


def test_the_network_is_that_of_init_unless_one_is_named(tmp_path):
    """The default named is a choice, too: it is not taken for none."""
    write_json(tmp_path / "config.json", TrainConfig(model="u2netp"))
    assert with_network(TrainConfig()).model == "skyline"
    assert with_network(TrainConfig(init=tmp_path)).model == "u2netp"
    assert with_network(TrainConfig(init=tmp_path, model="skyline")).model == "skyline"


def test_init_takes_a_packaged_model_by_its_name(
    run, records, tmp_path, monkeypatch, capsys, small_scenes
):
    """Its network is trained, and it is as good as it was before the first step."""
    terms = {"data": "drawn", "terms": "none", "out": tmp_path / "box"}
    box(BoxConfig(run=run, name="small", long_side=64, **terms))
    monkeypatch.setattr("skyseg_tf.runs.packaged.WEIGHTS", tmp_path / "box")
    again = train(
        TrainConfig(
            records=records, init=Path("small"), epochs=1, batch_size=4, learning_rate=1e-9,
            ema=0, augment="none", run=tmp_path / "run", plots=tmp_path / "plots", quiet=True,
        )
    )  # fmt: skip
    told = capsys.readouterr().out
    assert "weights of small; fresh: none" in told
    assert ", 1 epoch of " in told
    assert json.loads((again / "config.json").read_text())["model"] == "skynet"
    before, after = (json.loads((r / "metrics.json").read_text()) for r in (run, again))
    assert after["mean_iou"] == pytest.approx(before["mean_iou"], abs=0.05)
    with pytest.raises(InputError, match="of another network than u2netp"):
        train(TrainConfig(records=records, model="u2netp", init=Path("small"), run=tmp_path / "b"))


def test_a_sequence_model_trains_on_clips_and_on_nothing_else(tree, records, tmp_path, monkeypatch):
    def last_frame(num_classes, size, *, frames: int = 4):
        clip = keras.Input((frames, *size, 3), name="image")
        logits = blocks.conv(clip[:, -1], num_classes, 1, "outputConv", bias=True)
        return keras.Model(clip, {"logits": logits}, name="resnet_lstm")

    network = replace(MODELS["resnet_lstm"], build=last_frame)
    monkeypatch.setitem(MODELS, "resnet_lstm", network)
    clips = tmp_path / "clips"
    build(BuildConfig(out=clips, source=tree, image_size=(32, 64), frames=2, quiet=True))
    config = TrainConfig(
        records=clips, model="resnet_lstm", epochs=1, batch_size=4, run=tmp_path / "run",
        plots=tmp_path / "plots", quiet=True,
    )  # fmt: skip
    train(config)
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert model.predict_on_batch(np.zeros((1, 2, 32, 64, 3), np.float32)).shape == (1, 32, 64, 1)
    with pytest.raises(InputError, match="resnet_lstm takes clips: build them with --frames 4"):
        train(replace(config, records=records, run=tmp_path / "other"))
    with pytest.raises(InputError, match="skynet takes single photos"):
        train(replace(config, model="skynet", run=tmp_path / "other"))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_damaged_shard_ends_in_one_line_before_the_run_is_made(records, tmp_path, split):
    folder = shutil.copytree(records, tmp_path / "sky")
    shard = sorted(folder.glob(f"{split}-*"))[0]
    content = shard.read_bytes()
    shard.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    config = TrainConfig(
        records=folder, batch_size=2, run=tmp_path / "run", plots=tmp_path / "plots", quiet=True
    )
    with pytest.raises(InputError, match=rf"{shard.name}: record 0 .*checksum") as error:
        train(config)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
