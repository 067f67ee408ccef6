"""Every network against its published twin, and the contract that all of them keep."""

import functools
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from references.seeded import sample, seeded_input, seeded_state

from skyseg_tf.errors import InputError
from skyseg_tf.models import (
    MODELS,
    blocks,
    build_model,
    check_size,
    load_torch_weights,
    parse_model_options,
)
from skyseg_tf.models.options import options_of

REFERENCES = Path(__file__).parent / "references"
GOLDEN = Path(__file__).parents[2] / "shared" / "golden"

# reference file: what builds its model, (name, classes, options)
REFERENCE_MODELS = {
    "skynet": ("skynet", 1, {}),
    "u2net": ("u2net", 1, {}),
    "u2netp": ("u2netp", 1, {}),
    "deeplabv3_xception": ("deeplabv3_xception", 19, {}),
    "deeplabv3_xception_8": ("deeplabv3_xception", 19, {"output_stride": 8}),
    "bisenetv2": ("bisenetv2", 19, {}),
    "pspnet": ("pspnet", 19, {}),
    "pspnet_101": ("pspnet", 19, {"depth": 101}),
    "resnet_lstm": ("resnet_lstm", 3, {"size": (64, 96)}),
    "resnet_lstm_psp": ("resnet_lstm", 3, {"size": (96, 32), "psp": True}),
    "unet_efficientnet_b2": ("unet_efficientnet_b2", 1, {}),
}
HEAVY = {"u2net", "deeplabv3_xception", "deeplabv3_xception_8", "pspnet", "pspnet_101"}

# trainable parameters: all outputs, and what "logits" alone needs
COUNTS = [
    ("skynet", 1, {}, 1_862_849, 1_862_849),
    ("skyline", 1, {}, 1_724_225, 1_724_225),
    ("skyline_lite0", 1, {}, 2_559_745, 2_559_745),
    ("u2net", 1, {}, 44_009_869, 44_009_869),
    ("u2netp", 1, {}, 1_131_181, 1_131_181),
    ("deeplabv3_xception", 19, {}, 41_054_899, 41_054_899),
    ("bisenetv2", 1, {}, 5_188_485, 3_340_177),
    ("pspnet", 19, {}, 49_080_038, 46_715_347),
    # published 40,611,517 less fc (513,000), deconv (739,347) and the second bias (7,448)
    ("resnet_lstm", 19, {"size": (224, 448)}, 39_351_722, 39_351_722),
    # published less conv_head and bn2
    ("unet_efficientnet_b2", 1, {}, 10_046_291 - 498_432, 10_046_291 - 498_432),
]
MORE_COUNTS = [
    ("u2net", 19, {}, 44_260_987, 44_260_987),
    ("deeplabv3_xception", 1, {}, 41_050_273, 41_050_273),
    ("deeplabv3_xception", 2, {"output_stride": 8}, 41_050_530, 41_050_530),
    ("bisenetv2", 2, {}, 5_190_874, 3_341_202),
    ("bisenetv2", 19, {}, 5_231_487, 3_358_627),
    ("pspnet", 2, {"depth": 101}, 68_072_166 - 17 * (513 + 257), 65_698_754),
    ("pspnet", 19, {"depth": 101}, 68_072_166, 65_707_475),
    ("resnet_lstm", 19, {"size": (224, 448), "psp": True}, 39_354_534, 39_354_534),
    ("unet_efficientnet_b2", 19, {}, 10_048_901 - 498_432, 10_048_901 - 498_432),
]


def mark_heavy(names):
    return [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in names]


def default_options(name: str) -> dict:
    return {"size": (64, 96)} if MODELS[name].sequence else {}


def image_shape(name: str, size, batch=1) -> tuple[int, ...]:
    return (batch, *((4,) if MODELS[name].sequence else ()), *size, 3)


@functools.cache
def reference(key: str):
    """An .npz of references/ and the state dict that it speaks of."""
    content = dict(np.load(REFERENCES / f"{key}.npz"))
    shapes = {
        str(name): tuple(int(n) for n in str(shape).split("x") if n)
        for name, shape in zip(content["names"], content["shapes"], strict=True)
    }
    exponents = dict(zip(map(str, content["norms"]), map(int, content["exponents"]), strict=True))
    return content, seeded_state(shapes, exponents)


@functools.cache
def loaded_model(key: str) -> keras.Model:
    """The model of a reference file with its weights; a network that has none with fresh ones."""
    if key not in REFERENCE_MODELS:
        keras.utils.set_random_seed(0)
        return build_model(key, 1, **default_options(key))
    name, classes, options = REFERENCE_MODELS[key]
    model = build_model(name, classes, **options)
    load_torch_weights(model, reference(key)[1])
    return model


def differences(key: str):
    """For each input and output: its name, and the largest difference over the tolerance."""
    content, _ = reference(key)
    model, double = loaded_model(key), keras.config.floatx() == "float64"
    jax = keras.backend.backend() == "jax"  # one program is quicker there than many operations
    for index, size in enumerate(content["sizes"]):
        leading = (2, 4) if "lstm" in key else (1,)
        image = seeded_input(index, (*leading, *size, 3)).astype(keras.config.floatx())
        outputs = model.predict_on_batch(image) if jax else model(image, training=False)
        names = {k.split(":")[1] for k in content if k.startswith(f"{index}:")}
        assert set(outputs) == names
        for name, output in outputs.items():
            output, want = np.asarray(output), content[f"{index}:{name}"]
            assert output.shape == (leading[0], *size, model.output[name].shape[-1])
            noise = 4 * content[f"{index}:{name}:noise"]
            tolerance = 1e-8 if double else max(1e-4 * max(1, want.std()), noise)
            error = np.abs(sample(output) - want).max()
            yield f"{key} {size} {name}: off by {error:.2g}", error / tolerance


def print_differences() -> None:
    """All networks on the backend and in the precision of this process."""
    for key in REFERENCE_MODELS:
        found = list(differences(key))
        print(*(text for text, _ in found), sep="\n", flush=True)
        assert all(excess <= 1 for _, excess in found), key
        loaded_model.cache_clear()
        reference.cache_clear()


def run_all_networks(setup: str, **environment: str) -> None:
    """print_differences in a process of its own: backend and precision are a process's choice."""
    code = f"{setup}; import test_models; test_models.print_differences()"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=os.environ | environment,
        check=True,
    )


# --------------------------------------------------------------------------- published twins


@pytest.mark.parametrize("key", mark_heavy(REFERENCE_MODELS))
def test_equals_the_published_network(key):
    for text, excess in differences(key):
        assert excess <= 1, text


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_equals_the_published_networks_in_float64():
    run_all_networks("import keras; keras.config.set_floatx('float64')")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_equals_the_published_networks_on_jax():
    pytest.importorskip("jax")
    run_all_networks("import keras", KERAS_BACKEND="jax")


@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden outputs beside the repository")
@pytest.mark.parametrize("index", [0, 1])
def test_u2netp_equals_the_golden_outputs(index):
    content = np.load(GOLDEN / "u2netp_io.npz")
    model = build_model("u2netp", 1)
    load_torch_weights(model, dict(np.load(GOLDEN / "u2netp_state.npz")))
    for name, output in model(content[f"x{index}"], training=False).items():
        want = content[f"y{index}:{name}"]
        # These weights amplify: PyTorch's own float32 run is off by up to 1.7e-4, on aux_1.
        tolerance = 1e-4 * max(1, want.std()) * (1 if name == "logits" else 4)
        np.testing.assert_allclose(output, want, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    ("name", "classes", "options", "everything", "answer"),
    [*COUNTS, *(pytest.param(*row, marks=pytest.mark.slow) for row in MORE_COUNTS)],
)
def test_parameters(name, classes, options, everything, answer):
    model = build_model(name, classes, **options)
    logits = keras.Model(model.input, model.output["logits"])
    for counted, want in ((model, everything), (logits, answer)):
        assert sum(int(np.prod(w.shape)) for w in counted.trainable_weights) == want
    # TensorFlow saves no variable whose name begins otherwise.
    assert all(re.match("[A-Za-z0-9.]", w.path) for w in model.weights)


# --------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("name", mark_heavy(MODELS))
def test_gradient_reaches_every_weight(name):
    import tensorflow as tf

    model = loaded_model(name)
    image = seeded_input(0, image_shape(name, (64, 96)))
    with tf.GradientTape() as tape:  # not in training: there normalization takes biases away
        loss = sum(tf.reduce_mean(y**2) for y in model(image, training=False).values())
    weights = model.trainable_variables
    gradients = tape.gradient(loss, [w.value for w in weights])
    dead = [w.path for w, g in zip(weights, gradients, strict=True) if g is None or not np.any(g)]
    assert not dead
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", mark_heavy(MODELS))
def test_no_gradient_is_a_sum_of_three_or_more(name):
    """TensorFlow adds three in an order that changes from run to run; `fork` has one of its own."""
    network = build_model(name, 3, size=(64, 96))
    users = Counter()
    for layer in network.layers:
        for node in layer._inbound_nodes:
            read = node.input_tensors
            if isinstance(layer, blocks.ResizeLike):
                read = read[:1]  # of the other it takes the shape
            users.update(id(tensor) for tensor in read)
    outputs = {
        id(tensor): layer.name
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
        for tensor in keras.tree.flatten(layer.output)
    }
    assert [outputs[key] for key, count in users.items() if count > 2 and key in outputs] == []


@pytest.mark.parametrize("name", mark_heavy(MODELS))
def test_saved_model_gives_the_same_bits(name, tmp_path):
    model = loaded_model(name)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    image = seeded_input(0, image_shape(name, (64, 96)))
    before, after = model(image, training=False), again(image, training=False)
    assert list(before) == list(after)
    assert all(np.array_equal(before[key], after[key]) for key in before)


@pytest.fixture
def mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", mark_heavy(MODELS))
@pytest.mark.usefixtures("mixed_precision")
def test_logits_are_float32_in_mixed_precision(name):
    classes = loaded_model(name).output["logits"].shape[-1]
    model = build_model(name, classes, size=(64, 96))
    for variable, value in zip(model.variables, loaded_model(name).variables, strict=True):
        variable.assign(value)
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    image = seeded_input(0, image_shape(name, (64, 96)))
    exact, rounded = loaded_model_in_float32(name, image), model(image, training=False)
    for key, output in rounded.items():
        assert output.dtype == "float32"
        assert output.shape == (1, 64, 96, classes)
        assert np.corrcoef(np.ravel(output), np.ravel(exact[key]))[0, 1] > 0.99


def loaded_model_in_float32(name: str, image):
    keras.config.set_dtype_policy("float32")
    return loaded_model(name)(image, training=False)


@pytest.mark.parametrize("name", mark_heavy(MODELS))
def test_outputs_are_logits_and_one_per_aux_weight(name):
    network = MODELS[name]
    model = build_model(name, 2, size=(64, 96))
    aux = [f"aux_{i}" for i, _ in enumerate(network.aux_weights, 1)]
    assert list(model.output) == ["logits", *aux]
    assert {y.shape for y in model.output.values()} == {(None, 64, 96, 2)}
    assert model.input_shape == (None, *image_shape(name, (64, 96))[1:])
    assert model.name == name


def sizeless_graph(model):
    import tensorflow as tf

    unknown = tf.TensorSpec(model.input.shape)
    return tf.function(lambda x: model(x, training=False), input_signature=[unknown])


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("skynet", "bisenetv2") else pytest.param(n, marks=pytest.mark.slow)
        for n in MODELS
    ],
)
def test_size_known_or_not_makes_no_difference(name):
    if MODELS[name].sequence:
        model = build_model(name, 3, recurrent="conv", psp=True)
    else:
        model = loaded_model(name)
    graph = sizeless_graph(model)
    for size in ((64, 96), (32, 128)):
        image = seeded_input(0, image_shape(name, size, batch=2))
        known, free = model(image, training=False), graph(image)
        for key in known:
            np.testing.assert_allclose(known[key], free[key], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["bisenetv2", "unet_efficientnet_b2"])
def test_takes_sizes_that_the_published_code_refuses(name):
    image = seeded_input(0, (1, 45, 83, 3))
    outputs = loaded_model(name)(image, training=False)
    assert {y.shape[1:3] for y in outputs.values()} == {(45, 83)}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_learns_four_images(name):
    keras.utils.set_random_seed(0)
    shape = image_shape(name, (64, 96), batch=4)
    sky = np.zeros((4, 64, 96, 1), np.float32)
    for index, horizon in enumerate((16, 24, 40, 48)):
        # Multiples of 8: ResNet-LSTM sees nothing finer (one score per 8 x 8 pixels).
        sky[index, :horizon, 16 * index :] = 1
    frames = sky[:, None] if MODELS[name].sequence else sky
    noise = np.random.default_rng(0).normal(size=shape)
    images = (frames * [0.5, 1.0, 2.0] + 0.3 * noise).astype(np.float32)
    model = build_model(name, 1, size=(64, 96))
    outputs = dict.fromkeys(model.output, keras.losses.BinaryCrossentropy(from_logits=True))
    model.compile(keras.optimizers.Adam(1e-3), outputs)
    targets = dict.fromkeys(model.output, sky)
    losses = model.fit(images, targets, batch_size=4, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    answer = model.predict(images, verbose=0)["logits"] > 0
    assert np.sum(answer & (sky > 0)) / np.sum(answer | (sky > 0)) > 0.95


# --------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("unet", 1), {}, "no network 'unet': there are skyline, skyline_lite0, skynet, "),
        (("skynet", 1), {"depth": 5}, "skynet: no option depth; it has none"),
        (("pspnet", 1), {"width": 5}, "pspnet: no option width; it has depth"),
        (("pspnet", 1), {"depth": 34}, "pspnet: depth 34 is not possible: use 50 or 101"),
        (("skynet", 0), {}, "skynet: num_classes is 0, must be at least 1"),
        (
            ("skynet", 1),
            {"size": (65, 96)},
            "height must be divisible by 4: use --image-size 68 96",
        ),
        (("skynet", 1), {"size": (0, 96)}, "image size 0 x 96 is not positive"),
        (
            ("resnet_lstm", 1),
            {"size": (250, 500)},
            "height and width must be divisible by 32: use --image-size 256 512",
        ),
        (("resnet_lstm", 1), {}, "recurrent='flat' needs a size: give --image-size 256 512"),
        (("resnet_lstm", 1), {"recurrent": "gru"}, "recurrent 'gru' is not possible"),
        (("resnet_lstm", 19), {"size": (1024, 2048)}, "12,113,305,600 parameters (48.5 GB"),
        (
            ("deeplabv3_xception", 1),
            {"output_stride": 4},
            "output_stride 4 is not possible: use 8 or 16",
        ),
    ],
)
def test_refuses_with_the_remedy(arguments, options, message):
    with pytest.raises(InputError) as error:
        build_model(*arguments, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_check_size_lets_unknown_sides_pass():
    check_size("skynet", (None, 96))
    with pytest.raises(InputError, match="width must be divisible by 4: use 100"):
        check_size("skynet", (None, 97))


def test_torch_weights_must_fit():
    model = build_model("skynet", 1)
    before = model.get_weights()
    state = dict(reference("skynet")[1])
    state["outputConv.weight"] = np.zeros((19, 64, 1, 1), np.float32)
    state["conv1.0.weight"] = np.zeros(7, np.float32)
    del state["conv2.0.bias"]
    state["stray.weight"] = np.zeros(3, np.float32)
    with pytest.raises(InputError) as error:
        load_torch_weights(model, state)
    assert str(error.value) == (
        "skynet: the weights do not fit: 1 missing (conv2.0.bias); 1 unexpected (stray.weight); "
        "2 of another shape (conv1.0.weight 7, outputConv.weight 19x64x1x1); give a checkpoint of "
        "this network, or the options that it was built with"
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_torch_weights_of_another_network_are_refused():
    with pytest.raises(InputError, match=r"missing \(aux2.*, \.\.\.\); .* unexpected \(conv1"):
        load_torch_weights(loaded_model("bisenetv2"), reference("skynet")[1])


def test_weights_of_a_network_with_layers_of_the_same_names_are_told_from_other_classes():
    """As those of U2-Net-p are, given to U2-Net."""
    state = {name: np.concatenate([x, x]) for name, x in reference("skynet")[1].items() if x.ndim}
    with pytest.raises(InputError, match=r"another network with layers of the same names: give"):
        load_torch_weights(loaded_model("skynet"), state)


def test_depthwise_weights_must_be_one_channel_deep():
    model, state = loaded_model("bisenetv2"), dict(reference("bisenetv2")[1])
    key = "segment.S3.0.dwconv1.0.weight"
    state[key] = state[key].reshape(16, 6, 3, 3)
    with pytest.raises(InputError, match="1 of another shape"):
        load_torch_weights(model, state)


# --------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("size_in", "size_out"), [(1, 5), (5, 1), (4, 8), (7, 25), (12, 5), (6, 6)]
)
def test_interpolation_matrix_mixes_the_two_nearest(size_in, size_out, align_corners):
    places = np.arange(size_out)
    if align_corners:
        places = places * (size_in - 1) / max(size_out - 1, 1)
    else:
        places = np.clip((places + 0.5) * size_in / size_out - 0.5, 0, size_in - 1)
    want = np.stack([np.interp(places, np.arange(size_in), row) for row in np.eye(size_in)], axis=1)
    matrix = blocks.interpolation_matrix(size_in, size_out, align_corners, "float32")
    np.testing.assert_allclose(matrix, want, atol=1e-6)


def test_resize_like_enlarges_as_tensorflow_does():
    x, like = np.random.default_rng(0).normal(size=(2, 5, 7, 3)), np.zeros((2, 12, 28, 1))
    resized = blocks.resize_like(x.astype("float32"), like.astype("float32"))
    by_matrix = blocks.ResizeLike(dtype="float64")([x, like])
    np.testing.assert_allclose(resized, by_matrix, atol=1e-6)
    nearest = blocks.resize_like(x, like[:, :10, :14], "nearest")
    np.testing.assert_array_equal(nearest, x.astype("float32").repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(13, 17), (4, 6), (12, 18)])
def test_average_pool_bins_is_the_adaptive_pooling_of_keras(bins, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    want = layers.AdaptiveAveragePooling2D(bins)(x)
    np.testing.assert_allclose(blocks.AveragePoolBins(bins)(x), want, atol=1e-6)


def test_convolutional_recurrence_is_the_conv_lstm_of_keras():
    from skyseg_tf.models.resnet_lstm import conv_lstm

    scores = keras.Input((4, None, None, 2))
    unrolled = keras.Model(scores, conv_lstm(scores, 4))
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 5, 2)).astype("float32")
    whole = layers.ConvLSTM2D(2, 3, padding="same", recurrent_activation="sigmoid")
    whole.build(x.shape)
    from_input, from_state = (
        unrolled.get_layer(f"resnet_lstm.convlstm.{part}") for part in ("input", "state")
    )
    whole.set_weights([from_input.kernel, from_state.kernel, from_input.bias])
    np.testing.assert_allclose(unrolled(x), whole(x), atol=1e-6)


def test_memory_runs_over_frames_and_not_over_clips():
    model, clips = loaded_model("resnet_lstm"), seeded_input(0, (2, 4, 64, 96, 3))
    together = model(clips, training=False)["logits"]
    alone = model(clips[1:], training=False)["logits"]
    np.testing.assert_allclose(together[1:], alone, atol=1e-4)
    clips[1, 0] += 1  # the first frame of the clip reaches the answer for its last
    assert np.abs(model(clips, training=False)["logits"][1] - together[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "texts", "options"),
    [
        ("pspnet", ["depth=101"], {"depth": 101}),
        ("deeplabv3_xception", ["output-stride=8"], {"output_stride": 8}),
        (
            "resnet_lstm",
            ["psp=True", "recurrent=conv", "frames=2"],
            {"psp": True, "recurrent": "conv", "frames": 2},
        ),
        ("skynet", [], {}),
    ],
)
def test_options_come_from_text(name, texts, options):
    assert parse_model_options(name, texts) == options


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pspnet", "depth=34", "pspnet: depth is 50 or 101, not '34'"),
        ("pspnet", "dpeth=50", "no option 'dpeth': there are depth, variant; did you mean depth"),
        ("pspnet", "depth", "write NAME=VALUE: depth=50|101"),
        ("resnet_lstm", "psp=maybe", "psp is true or false, not 'maybe'"),
        ("resnet_lstm", "use_psp=true", "did you mean psp"),
        ("resnet_lstm", "frames=0", "frames is a whole number from 1, not '0'"),
        ("skynet", "depth=50", "skynet has none; leave them out"),
        ("skynett", "depth=50", "no network 'skynett'"),
    ],
)
def test_wrong_options_are_told_with_those_there_are(name, text, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        parse_model_options(name, [text])
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="depth is given twice"):
        parse_model_options("pspnet", ["depth=50", "depth=101"])


def test_the_help_gives_options_that_there_are():
    from skyseg_tf.training import settings

    told = re.search(r"NAME=VALUE: (.*?)\"\"\"", inspect.getsource(settings), re.DOTALL)[1]
    examples = re.findall(r"(\w+)=(\w+)", told)
    options = {name for network in MODELS.values() for name in options_of(network.build)}
    assert examples
    assert {name for name, _ in examples} <= options
