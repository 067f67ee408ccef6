import io
import json
import resource
import zipfile
from dataclasses import asdict

import keras
import numpy as np
import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.models import build_model
from skyseg_tf.training import checkpoints
from skyseg_tf.training.checkpoints import (
    finish_generation,
    load_checkpoint,
    load_initial_weights,
    load_latest,
    save_checkpoint,
    save_generation,
)
from skyseg_tf.training.progress import Progress, load_progress

BATCH = np.ones((1, 8, 8, 3), np.float32), {"logits": np.ones((1, 8, 8, 1), np.float32)}


def compiled():
    model = build_model("skynet", 1, size=(8, 8))
    model.compile(keras.optimizers.Adam(name="adam"), loss={"logits": "mse"})
    model.train_on_batch(*BATCH)
    return model


@pytest.fixture(scope="module")
def pair():
    return compiled(), compiled()


def same(first, second):
    return all(
        np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True)
    )


def test_checkpoints_round_trip(pair, tmp_path):
    first, second = pair
    save_checkpoint(tmp_path / "c.npz", first, {"epoch": 3})
    assert load_checkpoint(tmp_path / "c.npz", second) == {"epoch": 3}
    for model in pair:
        model.train_on_batch(*BATCH)
    assert same(first, second)


@pytest.mark.parametrize("saved", [True, False])
def test_weights_alone(pair, tmp_path, saved):
    first, second = pair
    first.train_on_batch(*BATCH)
    save_checkpoint(tmp_path / "c.npz", first, {"epoch": 3}, optimizer=saved)
    state = [v.numpy() for v in second.optimizer.variables]
    assert load_checkpoint(tmp_path / "c.npz", second, optimizer=False) == {"epoch": 3}
    assert same(first, second)
    kept = (v.numpy() for v in second.optimizer.variables)
    assert all(np.array_equal(a, b) for a, b in zip(state, kept, strict=True))
    if not saved:
        with pytest.raises(InputError, match="of another network or optimizer"):
            load_checkpoint(tmp_path / "c.npz", second)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another network"])
def test_damage_is_recognised(pair, tmp_path, damage):
    path = tmp_path / "c.npz"
    save_checkpoint(path, pair[0], {"epoch": 3})
    content = bytearray(path.read_bytes())
    if damage == "another network":
        # A whole zip archive, but its arrays are not those that were hashed.
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        arrays["v0:kernel"] = arrays["v0:kernel"] + 1
        np.savez(path, **arrays)
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"cut": content[:-100], "flipped": content, "empty": b""}[damage])
    before = pair[1].get_weights()
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(path, pair[1])
    assert all(np.array_equal(a, b) for a, b in zip(before, pair[1].get_weights(), strict=True))


def rewritten(path, **changes):
    """A checkpoint whose SHA-256 is right, with other arrays in it."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "sha256"} | changes
    arrays = {name: array for name, array in arrays.items() if array is not None}
    np.savez(path, **arrays, sha256=checkpoints._digest(arrays))


def zipped(path, method, size):
    """An archive whose member inflates to so many bytes."""
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("v0:kernel.npy", "w") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


def huge_header(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**11,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v0:kernel.npy", header.getvalue())


FOREIGN = {
    "an array": lambda path: path.write_bytes(array_bytes(np.zeros(3))),
    "pickled": lambda path: path.write_bytes(array_bytes(np.array([{}]))),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04N."),
    "an object in it": lambda path: np.savez(path, **{"v0:kernel": np.array([{}])}),
    "another archive": lambda path: zipped(path, zipfile.ZIP_LZMA, 1 << 20),
    "200 MB in 200 kB": lambda path: zipped(path, zipfile.ZIP_DEFLATED, 200 << 20),
    "400 GB in 100 bytes": huge_header,
    "NaN": lambda path: rewritten(path, **{"v0:kernel": np.full((3, 3, 3, 64), np.nan, "f4")}),
    "facts that are no JSON": lambda path: rewritten(path, facts=np.frombuffer(b"{", np.uint8)),
    "facts that are a list": lambda path: rewritten(path, facts=np.frombuffer(b"[]", np.uint8)),
    "no facts": lambda path: rewritten(path, facts=None),
    "text": lambda path: rewritten(path, **{"v0:kernel": np.array(["a"])}),
}


def array_bytes(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_checkpoint_is_one_line_and_little_memory(pair, tmp_path, what):
    for name in ("last.npz", "best.npz"):
        save_checkpoint(tmp_path / name, pair[0], {"epoch": 3})
        FOREIGN[what](tmp_path / name)
    before, memory = pair[1].get_weights(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as error:
        load_latest(tmp_path, pair[1])
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"(last|best)\.npz: ") as error:
        load_checkpoint(tmp_path / "last.npz", pair[1])
    if (
        what != "text" and "facts" not in what
    ):  # a start needs no facts, and leaves other shapes out
        with pytest.raises(InputError, match=r"best\.npz: "):
            load_initial_weights(tmp_path / "best.npz", pair[1])
        assert all(map(np.array_equal, before, pair[1].get_weights()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 150_000  # kB


def test_weights_of_another_kind_lead_to_import_weights(pair, tmp_path):
    (tmp_path / "u2netp.pth").write_bytes(b"PK")
    with pytest.raises(InputError, match="of a published checkpoint `skyseg import_weights` makes"):
        load_initial_weights(tmp_path / "u2netp.pth", pair[0])
    np.savez(tmp_path / "state.npz", **{"conv1.weight": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="of a published checkpoint `skyseg import_weights` makes"):
        load_initial_weights(tmp_path / "state.npz", pair[0])
    (tmp_path / "x.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match="damaged or unfinished archive"):
        load_initial_weights(tmp_path / "x.keras", pair[0])


def test_the_older_generation_serves_where_the_last_is_torn(pair, tmp_path, capsys):
    first, second = pair
    assert load_latest(tmp_path, first) is None
    for epoch in range(3):
        save_generation(tmp_path, first, {"epoch": epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.npz", "previous.npz"]
    assert load_latest(tmp_path, second)["epoch"] == 2
    last = tmp_path / "last.npz"
    last.write_bytes(last.read_bytes()[:-500])
    assert load_latest(tmp_path, second)["epoch"] == 1
    assert "last.npz: not a whole checkpoint" in (said := capsys.readouterr().out)
    assert "going on from the older one" in said
    (tmp_path / "previous.npz").unlink()
    with pytest.raises(InputError, match="no whole checkpoint"):
        load_latest(tmp_path, second)
    # A process that died between the two renames.
    save_checkpoint(tmp_path / "newest.npz", first, {"epoch": 9})
    assert load_latest(tmp_path, second)["epoch"] == 9


@pytest.mark.parametrize("renamed", [False, True])
def test_a_renaming_that_was_cut_short_is_ended(pair, tmp_path, renamed):
    """As after a kill behind the last checkpoint, and within a training that goes on."""
    model, _ = pair
    for epoch in (0, 1):
        save_generation(tmp_path, model, {"epoch": epoch})
    save_checkpoint(tmp_path / "newest.npz", model, {"epoch": 2})
    if renamed:
        (tmp_path / "last.npz").replace(tmp_path / "previous.npz")
    finish_generation(tmp_path)
    assert generations(tmp_path, model) == {"last.npz": 2, "previous.npz": 1}
    save_checkpoint(tmp_path / "newest.npz", model, {"epoch": 3})
    save_generation(tmp_path, model, {"epoch": 4})
    assert generations(tmp_path, model) == {"last.npz": 4, "previous.npz": 3}


def generations(folder, model):
    return {path.name: load_checkpoint(path, model)["epoch"] for path in folder.iterdir()}


def test_weights_that_are_no_numbers_are_not_written(pair, tmp_path):
    model = compiled()
    save_generation(tmp_path, model, {"epoch": 1})
    bias = next(v for v in model.trainable_variables if v.name == "bias")
    bias.assign(np.full(bias.shape, np.inf))
    with pytest.raises(FloatingPointError, match=f"weights of {bias.path} are no finite numbers"):
        save_generation(tmp_path, model, {"epoch": 2})
    assert load_latest(tmp_path, pair[1]) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]


def test_facts_keep_floats_exactly(pair, tmp_path):
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    save_checkpoint(tmp_path / "c.npz", pair[0], {"values": values.tolist()})
    read = load_checkpoint(tmp_path / "c.npz", pair[1])["values"]
    assert np.array_equal(np.array(read, np.float32), values)
    assert json.dumps(read) == json.dumps(values.tolist())


def test_facts_of_another_kind_are_told_in_a_line(pair, tmp_path):
    facts = asdict(Progress("records"))
    for name, value in (("metrics", 5), ("metrics", None), ("epoch", "3"), ("history", [[]])):
        save_checkpoint(tmp_path / "last.npz", pair[0], facts | {name: value})
        with pytest.raises(InputError, match=f"damaged: {name} is "):
            load_progress(tmp_path, pair[1], "records")


def test_another_network_is_refused(pair, tmp_path):
    save_checkpoint(tmp_path / "c.npz", pair[0], {})
    other = build_model("skynet", 3, size=(8, 8))
    other.compile(keras.optimizers.Adam(), loss={"logits": "mse"})
    with pytest.raises(InputError, match="of another network or optimizer"):
        load_checkpoint(tmp_path / "c.npz", other)
