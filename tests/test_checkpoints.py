import json

import keras
import numpy as np
import pytest

from skyseg_tf.checkpoints import load_checkpoint, load_latest, save_checkpoint, save_generation
from skyseg_tf.errors import InputError
from skyseg_tf.models import build_model

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


def test_facts_keep_floats_exactly(pair, tmp_path):
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    save_checkpoint(tmp_path / "c.npz", pair[0], {"values": values.tolist()})
    read = load_checkpoint(tmp_path / "c.npz", pair[1])["values"]
    assert np.array_equal(np.array(read, np.float32), values)
    assert json.dumps(read) == json.dumps(values.tolist())


def test_another_network_is_refused(pair, tmp_path):
    save_checkpoint(tmp_path / "c.npz", pair[0], {})
    other = build_model("skynet", 3, size=(8, 8))
    other.compile(keras.optimizers.Adam(), loss={"logits": "mse"})
    with pytest.raises(InputError, match="of another network or optimizer"):
        load_checkpoint(tmp_path / "c.npz", other)
