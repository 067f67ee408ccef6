import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import pytest
from drawn_models import blue_model, blue_probs
from onnx import numpy_helper

from skyseg_tf import doctor
from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking import runtime
from skyseg_tf.masking.backends import BACKENDS, Backend, Runtime
from skyseg_tf.masking.onnx_file import read_metadata
from skyseg_tf.masking.runtime import ModelFacts, load_fastest, load_runtime, sha256_of
from skyseg_tf.runs import packaged

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_probabilities_are_the_models(tmp_path, backend):
    model = load_runtime(blue_model(tmp_path / "m.onnx"), backend)
    images = RNG.integers(0, 256, (3, 64, 32, 3), dtype=np.uint8)
    probs = model(images)
    assert probs.dtype == np.float32
    assert probs.shape == (3, 64, 32, 1)
    np.testing.assert_allclose(probs, blue_probs(images), atol=1e-5)
    assert (model.backend, model.name, model.class_names) == (backend, "blue", ("not sky", "sky"))
    with pytest.raises(InputError, match="multiples of 32"):
        model(images[:, :40])
    with pytest.raises(InputError, match="takes"):
        model(images[0])


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_calls_of_several_threads_keep_their_answers_apart(tmp_path, backend):
    model = load_runtime(blue_model(tmp_path / "m.onnx"), backend, threads=2, streams=2)
    assert model.streams == 2
    photos = RNG.integers(0, 256, (24, 1, 64, 96, 3), dtype=np.uint8)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model, photos))
    for photo, probs in zip(photos, answers, strict=True):
        np.testing.assert_allclose(probs, blue_probs(photo), atol=1e-5)


@pytest.mark.parametrize(
    ("facts", "shape"),
    [
        ({}, (1, 256, 256, 3)),
        ({"long_side": 100, "divisor": 8}, (1, 104, 104, 3)),
        ({"size": (48, 80)}, (1, 48, 80, 3)),
    ],
)
def test_first_calls_come_one_after_the_other_before_threads_share(
    tmp_path, monkeypatch, facts, shape
):
    """Two threads load (as pages of the dashboard do): no call may meet another's first."""
    path = blue_model(tmp_path / "m.onnx", **facts)
    calls, at_work = [], []

    def load(*arguments):
        model = BACKENDS["onnxruntime"].load(*arguments)
        infer = model._infer

        def watched(images):
            at_work.append(images.shape)
            calls.append((threading.get_ident(), images.shape, len(at_work)))
            time.sleep(0.05)
            at_work.pop()
            return infer(images)

        model._infer = watched
        return model

    monkeypatch.setitem(BACKENDS, "openvino", replace(BACKENDS["openvino"], load=load))
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(load_runtime, path, "openvino", streams=2) for _ in range(3)]
    assert len(calls) == len({future.result() for future in done}) == 3
    assert len({thread for thread, _, _ in calls}) == 3
    assert {(seen, together) for _, seen, together in calls} == {(shape, 1)}


def test_a_model_that_fails_at_its_first_call_is_told(tmp_path):
    model = onnx.load(blue_model(tmp_path / "m.onnx"))
    shape = np.array([1, 7, 7, 1])
    model.graph.initializer.append(numpy_helper.from_array(shape, "shape"))
    model.graph.node[-1].output[0] = "all"
    model.graph.node.append(onnx.helper.make_node("Reshape", ["all", "shape"], ["probabilities"]))
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(InputError, match=r"bad\.onnx: onnxruntime cannot load it"):
        load_runtime(tmp_path / "bad.onnx", "onnxruntime")


@pytest.mark.parametrize("faster", ["onnxruntime", "openvino"])
def test_long_work_goes_to_the_backend_that_is_faster_here(tmp_path, monkeypatch, faster):
    import openvino as ov

    calls = []

    def slowed(name):
        loader = BACKENDS[name].load

        def load(*arguments):
            model = loader(*arguments)
            infer = model._infer

            def slow(images):
                calls.append((name, images.shape))
                time.sleep(0 if name == faster else 0.05)
                return infer(images)

            model._infer = slow
            return model

        return load

    for name in ("onnxruntime", "openvino"):
        monkeypatch.setitem(BACKENDS, name, replace(BACKENDS[name], load=slowed(name)))
    path = blue_model(tmp_path / "m.onnx")
    assert load_fastest(path, threads=2, streams=2).backend == faster
    assert {shape for _, shape in calls[1:]} - {(1, 256, 256, 3)} == {
        (1, 288, 512, 3)
    }  # a wide one
    calls.clear()
    assert load_fastest(path, "openvino").backend == "openvino"
    assert calls == [("openvino", (1, 256, 256, 3))]  # the first call alone
    calls.clear()
    exports = tmp_path / "run" / "exports"
    exports.mkdir(parents=True)
    path.rename(exports / "model-f32.onnx")
    network = ov.convert_model(exports / "model-f32.onnx")
    for key, text in read_metadata(exports / "model-f32.onnx").items():
        network.set_rt_info(text, [key])
    ov.save_model(network, exports / "model-int8.xml")
    assert load_fastest(tmp_path / "run").path.name == "model-int8.xml"  # not by its pace
    assert len(calls) == 1


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_fixed_file_takes_its_size_alone_and_any_batch(tmp_path, backend):
    path = blue_model(tmp_path / "m.onnx", size=(48, 80), batch=1)
    model = load_runtime(path, backend)
    images = RNG.integers(0, 256, (3, 48, 80, 3), dtype=np.uint8)
    np.testing.assert_allclose(model(images), blue_probs(images), atol=1e-5)
    assert model.size_for(1000, 3000) == (48, 80)
    with pytest.raises(InputError, match="fixed"):
        model(images[:, :32])


def test_keras_takes_sizes_that_differ_in_one_side(tmp_path):
    """For these two, a graph that leaves the height alone open pads dilated convolutions wrongly."""
    from skyseg_tf.models import build_model
    from skyseg_tf.runs.model_file import make_saved_model, save_model

    stats = {f"{c}_MEAN": 90.0 for c in "RGB"} | {f"{c}_STD": 60.0 for c in "RGB"}
    network = build_model("u2netp", 1)
    save_model(tmp_path / "model.keras", network, stats)
    model = make_saved_model(network, stats)
    runtime = load_runtime(tmp_path / "model.keras", "keras")
    rng = np.random.default_rng(0)
    for size in ((64, 96), (96, 96)):
        photo = rng.integers(0, 256, (1, *size, 3), np.uint8)
        wanted = np.asarray(model(photo.astype(np.float32), training=False))
        assert np.abs(runtime(photo) - wanted).max() < 1e-4


def test_openvino_files_tell_their_facts(tmp_path):
    import openvino as ov

    network = ov.convert_model(blue_model(tmp_path / "m.onnx"))
    facts = ModelFacts("written", SCHEMES["sky"], threshold=0.4, sha256="ab")
    for key, text in facts.to_metadata().items():
        network.set_rt_info(text, [key])
    ov.save_model(network, tmp_path / "m.xml", compress_to_fp16=False)
    model = load_runtime(tmp_path / "m.xml")
    assert (model.backend, model.facts) == ("openvino", facts)
    images = RNG.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(model(images), blue_probs(images), atol=1e-5)


def test_facts_survive_the_file(tmp_path):
    facts = ModelFacts("ü", SCHEMES["cityscapes19"], working_size=(8, 16), frames=4)
    assert ModelFacts.from_metadata(facts.to_metadata(), "x") == facts
    assert ModelFacts.from_metadata({**facts.to_metadata(), "other": "{"}, "x") == facts
    with pytest.raises(InputError, match="skyseg export"):
        ModelFacts.from_metadata({}, "x")
    with pytest.raises(InputError, match="skyseg export"):
        load_runtime(blue_model(tmp_path / "m.onnx", metadata=False), "onnxruntime")


def test_onnx_files_are_read_as_onnx_reads_them(tmp_path):
    model = onnx.load(blue_model(tmp_path / "m.onnx"))
    model.metadata_props.add(key="long", value="x" * 1000)
    onnx.save(model, tmp_path / "more.onnx")
    assert read_metadata(tmp_path / "more.onnx") == {p.key: p.value for p in model.metadata_props}
    (tmp_path / "torn.onnx").write_bytes((tmp_path / "more.onnx").read_bytes()[:-700])
    with pytest.raises(InputError, match="not a whole ONNX file"):
        read_metadata(tmp_path / "torn.onnx")


@pytest.mark.parametrize(
    ("photo", "size"),
    [
        ((3000, 4000), (384, 512)),
        ((4000, 3000), (512, 384)),
        ((500, 4000), (256, 2048)),
        ((40, 40), (512, 512)),
    ],
)
def test_working_size_keeps_the_aspect(tmp_path, photo, size):
    model = load_runtime(blue_model(tmp_path / "m.onnx"), "onnxruntime")
    assert model.size_for(*photo) == size


def test_what_cannot_be_loaded_is_told(tmp_path, monkeypatch):
    path = blue_model(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="no backend 'tpu'"):
        load_runtime(path, "tpu")
    with pytest.raises(InputError, match="litert cannot run it, but openvino, onnxruntime can"):
        load_runtime(path, "litert")
    with pytest.raises(InputError, match="no such run folder"):
        load_runtime(tmp_path / "absent")
    with pytest.raises(InputError, match="is it a run folder"):
        load_runtime(tmp_path)
    (tmp_path / "m.pth").write_bytes(b"x")
    with pytest.raises(InputError, match="or a run folder"):
        load_runtime(tmp_path / "m.pth")
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07nonsense")
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(InputError, match=r"bad\.onnx"):
            load_runtime(tmp_path / "bad.onnx", backend)
    monkeypatch.setattr(runtime, "installed", lambda backend: False)
    with pytest.raises(InputError, match="pip install openvino"):
        load_runtime(path)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        load_runtime(path, "onnxruntime")


def test_a_run_serves_its_exports_unless_they_are_stale(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "exports").mkdir(parents=True)
    (run / "model.keras").write_bytes(b"trained")
    sha = sha256_of(run / "model.keras")
    blue_model(run / "exports" / "model-int8.onnx", sha256=sha, long_side=64)
    blue_model(run / "exports" / "model-f32.onnx", sha256=sha, long_side=128)
    assert load_runtime(run).path.name == "model-f32.onnx"
    monkeypatch.setattr(runtime, "installed", lambda backend: backend == "onnxruntime")
    assert load_runtime(run).backend == "onnxruntime"
    (run / "model.keras").write_bytes(b"trained again")
    with pytest.raises(InputError, match=r"another model\.keras"):
        load_runtime(run)


def test_the_box_is_checked_before_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="no packaged model"):
        load_runtime()
    paths = [tmp_path / name / "exports" / "m.onnx" for name in "ab"]
    for path in paths:
        path.parent.mkdir(parents=True)
        blue_model(path)
    pins = ({"exports/m.onnx": sha} for sha in (sha256_of(paths[0]), "0" * 64))
    models = {name: {"files": files} for name, files in zip("ab", pins, strict=True)}
    (tmp_path / "models.json").write_text(json.dumps({"default": "a", "models": models}))
    assert load_runtime().path == paths[0]
    assert load_runtime("a", "onnxruntime").backend == "onnxruntime"
    with pytest.raises(InputError, match=r"sha256 is not the one in models\.json"):
        load_runtime("b")
    with pytest.raises(InputError, match="packaged are: a, b"):
        load_runtime("c")
    paths[0].unlink()
    with pytest.raises(InputError, match="is missing; install skyseg_tf again"):
        load_runtime("a")


def test_the_runs_of_this_package_are_whole():
    """Each file is pinned, and each export was made from the model.keras beside it."""
    index = packaged.read_packaged()
    assert index["default"] in index["models"]
    for name in index["models"]:
        run = packaged.WEIGHTS / name
        pins = packaged.packaged_files(run)
        assert set(pins) == {path for path in run.rglob("*") if path.is_file()}
        for path, sha256 in pins.items():
            packaged.check_packaged(path, sha256)
        told = ModelFacts.from_metadata(read_metadata(run / "exports/model_f32.onnx"), run)
        assert told.sha256 == pins[run / "model.keras"]


@pytest.mark.parametrize("name", BACKENDS)
def test_what_every_backend_says_of_itself(name):
    backend = BACKENDS[name]
    assert backend.name == name
    assert all(suffix.startswith(".") for suffix in backend.suffixes)
    assert backend.install.startswith("pip install ")
    assert backend.is_installed()  # all are, where tests run
    assert any(doctor.version_or_none(one) for one in backend.distributions)


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_refuses_a_damaged_file_in_one_line(name, tmp_path):
    path = tmp_path / f"m{BACKENDS[name].suffixes[0]}"
    path.write_bytes(b"\x08\x07nonsense")
    path.with_name(f"{path.name}.json").write_text("{}")
    with pytest.raises(InputError, match=re.escape(str(path))) as error:
        load_runtime(path, name)
    assert "\n" not in str(error.value)


def test_a_backend_of_a_test_is_chosen_told_and_offered(tmp_path, monkeypatch):
    """One record is all that the program needs."""

    def load(path, threads, streams):
        facts = ModelFacts(path.stem, SCHEMES["sky"])
        return Runtime("toy", path, facts, lambda images: images[..., :1] / 255)

    toy = Backend("toy", (".toy",), "toy_runtime", ("toy",), "pip install toy", load, 0)
    monkeypatch.setitem(BACKENDS, "toy", toy)
    (tmp_path / "m.toy").write_bytes(b"")
    with pytest.raises(InputError, match=r"m\.toy: needs toy: `pip install toy`"):
        load_runtime(tmp_path / "m.toy")
    assert "missing: pip install toy" in doctor.page(doctor.examine())
    with pytest.raises(InputError, match=r"give .*\.keras, \.toy or a run folder"):
        load_runtime(blue_model(tmp_path / "m.other"))
    monkeypatch.setitem(BACKENDS, "toy", replace(toy, package="json"))  # there
    assert load_runtime(tmp_path / "m.toy").backend == "toy"
    assert "toy          of unknown version" in doctor.page(doctor.examine())
