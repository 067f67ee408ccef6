import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from skyseg_tf.errors import InputError
from skyseg_tf.import_weights import ImportWeightsConfig, import_weights
from skyseg_tf.models import MODELS, build_model
from skyseg_tf.models.skynet import skynet
from skyseg_tf.models.state_dicts import read_state
from skyseg_tf.training.checkpoints import load_initial_weights


@pytest.fixture
def state():
    """A state dict of skynet under its published names."""
    rng = np.random.default_rng(0)
    published = {}
    for layer in build_model("skynet", 1).layers:
        if not layer.weights:
            continue
        kernel = rng.normal(size=layer.kernel.shape).astype(np.float32)
        published[f"{layer.name}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        published[f"{layer.name}.bias"] = rng.normal(size=layer.bias.shape).astype(np.float32)
    return published


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_checkpoint_becomes_a_network_to_start_from(state, tmp_path, suffix):
    file = tmp_path / f"official.{suffix}"
    named = {f"module.{name}": array for name, array in state.items()}
    np.savez(file, **named) if suffix == "npz" else save_file(named, file)
    import_weights(ImportWeightsConfig(file=file, model="skynet", out=tmp_path / "m.keras"))
    model = keras.models.load_model(tmp_path / "m.keras")
    kernel = state["conv1.0.weight"].transpose(2, 3, 1, 0)
    assert np.array_equal(model.get_layer("conv1.0").kernel, kernel)
    fresh = build_model("skynet", 19)
    assert all("outputConv" in path for path in load_initial_weights(tmp_path / "m.keras", fresh))
    assert np.array_equal(fresh.get_layer("conv1.0").kernel, kernel)


def test_what_does_not_fit_is_listed_and_nothing_is_written(state, tmp_path):
    del state["conv1.0.weight"]
    np.savez(tmp_path / "a.npz", **state)
    with pytest.raises(InputError, match=r"1 missing \(conv1\.0\.weight\)"):
        import_weights(
            ImportWeightsConfig(tmp_path / "a.npz", model="skynet", out=tmp_path / "m.keras")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_options_reach_the_network(state, tmp_path, monkeypatch, capsys):
    def optional(num_classes, size, *, wide: bool = False):
        assert wide
        assert size == (32, 64)
        return skynet(num_classes, size)

    monkeypatch.setitem(MODELS, "skynet", replace(MODELS["skynet"], build=optional))
    np.savez(tmp_path / "a.npz", **state)
    import_weights(ImportWeightsConfig(
        tmp_path / "a.npz", model="skynet", out=tmp_path / "m.keras", model_options=("wide=true",),
        image_size=(32, 64),
    ))  # fmt: skip
    line = f"--model skynet --model-options wide=true --init {tmp_path / 'm.keras'}`"
    assert line in capsys.readouterr().out


def test_unreadable_files_are_refused(tmp_path, monkeypatch):
    for name in ("a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(InputError, match="not a readable state dict"):
            read_state(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_state(tmp_path / "b.npz")
    (tmp_path / "a.pth").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="pip install torch"):
        read_state(tmp_path / "a.pth")
    np.savez(tmp_path / "evil.npz", a=np.array([object()], dtype=object))
    with pytest.raises(InputError, match="not a readable state dict"):
        read_state(tmp_path / "evil.npz")
