import io
import sys
import zipfile
from dataclasses import replace

import keras
import mmseg_networks
import numpy as np
import pytest
from safetensors.numpy import save_file

from skyseg_tf.errors import InputError
from skyseg_tf.import_weights import ImportWeightsConfig, import_weights
from skyseg_tf.models import MODELS, build_model, load_torch_weights
from skyseg_tf.models.mmsegmentation import settings_of
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
    kept = load_initial_weights(tmp_path / "m.keras", fresh)
    assert ["outputConv" in path for path in kept] == [True, True]
    assert np.array_equal(fresh.get_layer("conv1.0").kernel, kernel)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("bisenetv2", mmseg_networks.bisenetv2),
        pytest.param("pspnet", mmseg_networks.pspnet, marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_of_mmsegmentation_computes_what_it_does_there(name, theirs, tmp_path, capsys):
    image = np.random.default_rng(1).normal(size=(1, 64, 96, 3)).astype(np.float32)
    checkpoint = mmseg_networks.Checkpoint()
    wanted = theirs(checkpoint, image, 19)
    extra = {"decode_head.bn.num_batches_tracked": np.array(7), "ema_backbone_a": np.zeros(2)}
    named = {f"module.{key}": array for key, array in (checkpoint.state | extra).items()}
    np.savez(tmp_path / "a.npz", **named)
    import_weights(ImportWeightsConfig(tmp_path / "a.npz", model=name, out=tmp_path / "m.keras"))
    assert f"--model {name} --model-options variant=mmseg --init" in capsys.readouterr().out
    given = keras.models.load_model(tmp_path / "m.keras")(image, training=False)
    assert given.keys() == wanted.keys()
    for key, want in wanted.items():
        assert np.std(want) > 0.01
        np.testing.assert_allclose(given[key], want, atol=1e-3 * np.abs(want).max())


def test_what_is_known_of_a_checkpoint_of_mmsegmentation():
    state = {"decode_head.conv_seg.weight": np.zeros((7, 512, 1, 1)), "backbone.layer3.22.a": 0}
    assert settings_of("pspnet", state) == (7, {"variant": "mmseg", "depth": 101})
    assert settings_of("pspnet", {"cls.4.weight": 0}) == (1, {})
    with pytest.raises(InputError, match="bisenetv2 and pspnet are understood"):
        load_torch_weights(build_model("skynet", 1), state)


def test_what_does_not_fit_is_listed_and_nothing_is_written(state, tmp_path):
    del state["conv1.0.weight"]
    np.savez(tmp_path / "a.npz", **state)
    with pytest.raises(InputError, match=r"1 missing \(conv1\.0\.weight\)"):
        import_weights(
            ImportWeightsConfig(tmp_path / "a.npz", model="skynet", out=tmp_path / "m.keras")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_checkpoint_of_other_classes_is_told_from_one_of_another_network(state, tmp_path):
    np.savez(tmp_path / "a.npz", **state)
    config = ImportWeightsConfig(tmp_path / "a.npz", model="skynet", out=tmp_path / "m.keras")
    wanted = (
        r"2 of another shape \(outputConv\.weight 1x64x1x1, .*\); it is this network with other"
    )
    with pytest.raises(InputError, match=wanted):
        import_weights(replace(config, num_classes=19))
    with pytest.raises(InputError, match="give a checkpoint of this network"):
        import_weights(replace(config, model="u2netp"))


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


def test_no_classes_are_not_taken_for_the_checkpoints_own(state, tmp_path):
    np.savez(tmp_path / "a.npz", **state)
    with pytest.raises(InputError, match="num_classes is 0, must be at least 1"):
        import_weights(
            ImportWeightsConfig(
                tmp_path / "a.npz",
                model="skynet",
                out=tmp_path / "m.keras",
                num_classes=0,
            )
        )
    assert not (tmp_path / "m.keras").exists()


def test_unreadable_files_are_refused(tmp_path, monkeypatch):
    for name in ("a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(InputError, match=r"not a readable state dict|damaged or unfinished"):
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


def test_arrays_that_are_no_numbers_or_announced_only_are_refused(state, tmp_path, monkeypatch):
    state["conv1.0.bias"][0] = np.nan
    np.savez(tmp_path / "nan.npz", **state)
    with pytest.raises(InputError, match=r"conv1\.0\.bias holds values that are no numbers"):
        read_state(tmp_path / "nan.npz")
    content = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("a.npy", content.getvalue() + bytes(100))
    with pytest.raises(InputError, match=r"a\.npy is cut off"):
        read_state(tmp_path / "huge.npz")
    monkeypatch.setattr("skyseg_tf.models.state_dicts.EXTRA_BYTES", 1_000_000)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1_000_000))
    with pytest.raises(InputError, match="exceed the limit"):
        read_state(tmp_path / "bomb.npz")
