"""What every choice of classes must go through: build, train, evaluate, predict and export."""

import json

import numpy as np
import pytest
from drawn_models import blue_model, blue_photo

from skyseg_tf import predict as predict_verb
from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.records import read_manifest
from skyseg_tf.errors import InputError
from skyseg_tf.evaluate import EvaluateConfig, evaluate
from skyseg_tf.export import ExportConfig, export
from skyseg_tf.images import read_mask, write_image
from skyseg_tf.labels import (
    LABEL_ID,
    SCHEMES,
    class_id_table,
    encoding_of_scheme,
    get_scheme,
    parse_scheme,
    read_classes,
    scheme_encoding,
    stored_scheme,
)
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.train import TrainConfig, train

SIZE = (32, 64)
# Own classes: {name in the scheme's file: value in the masks}, in the order of the file.
OWN = {
    "sky_first": {"sky": 7, "rest": 3},
    "sky_last": {"rest": 3, "sky": 7},
    "no_sky": {"leaf": 0, "pest": 200},
    "forty": {f"kind {i}": 5 * i for i in range(39, -1, -1)},
}


def write_dataset(root, values):
    """Photos whose brightness tells the class: two bands of each mask, in turn all classes."""
    values = list(values)
    for index in range(max(10, len(values))):
        mask = np.empty(SIZE, np.uint8)
        first, second = values[index % len(values)], values[(index + 1) % len(values)]
        mask[: SIZE[0] // 2], mask[SIZE[0] // 2 :] = first, second
        grey = np.where(mask == first, 40, 210).astype(np.uint8)
        split = "val" if index % 5 == 4 else "train"
        write_image(root / f"images/{split}/{index:03d}.png", np.repeat(grey[..., None], 3, -1))
        write_image(root / f"masks/{split}/{index:03d}.png", mask)
    return root


@pytest.mark.parametrize(
    "name", ["sky_first", *(pytest.param(n, marks=pytest.mark.slow) for n in [*OWN][1:])]
)
@pytest.mark.usefixtures("tiny", "undrawn")
def test_a_scheme_of_ones_own_goes_the_whole_way(tmp_path, name):
    values = OWN[name]
    source = write_dataset(tmp_path / "mine", values.values())
    table = {str(value): word for word, value in values.items()}
    (source / "classes.json").write_text(json.dumps(table))
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps({"classes": [{"name": word} for word in values]}))

    records = tmp_path / "records"
    build(BuildConfig(out=records, source=source, scheme=str(file), image_size=SIZE,
                      storage="uint8", quiet=True))  # fmt: skip
    file.unlink()  # from here on the scheme travels by itself
    manifest = read_manifest(records)
    assert manifest.class_names == tuple(values)
    assert sum(manifest.splits["train"].class_pixels) == 32 * 64 * manifest.splits["train"].count

    run = train(TrainConfig(records=records, model="skynet", epochs=1, batch_size=4, augment="light",
                            run=tmp_path / "run", plots=tmp_path / "plots", quiet=True))  # fmt: skip
    assert list(json.loads((run / "metrics.json").read_text())["iou"]) == list(values)

    evaluation = evaluate(EvaluateConfig(model=run, source=source, quiet=True))
    scored = json.loads((evaluation / "metrics.json").read_text())
    assert list(scored["iou"]) == list(values)
    assert np.sum(scored["confusion_matrix"]) == 32 * 64 * manifest.splits["val"].count

    export(ExportConfig(model=run, format="onnx", photos=2))
    exported = run / "exports/model_f32.onnx"
    for model in (run, exported):
        runtime = load_runtime(model)
        assert (runtime.scheme.class_names, runtime.scheme.sky) == (
            tuple(values),
            list(values).index("sky") if "sky" in values else None,
        )
        assert (runtime.sky_channel is None) == ("sky" not in values)

    photo = sorted((source / "images/val").iterdir())[0]
    predict_verb.predict(
        predict_verb.PredictConfig(
            inputs=(str(photo),), model=str(exported), out=tmp_path / "masks", format="color"
        )
    )
    assert (tmp_path / "masks" / f"{photo.stem}.png").is_file()


def test_a_table_of_values_is_a_scheme_and_says_what_the_masks_hold(tmp_path):
    source = write_dataset(tmp_path / "mine", (0, 1, 4, 9))
    file = tmp_path / "farm.json"
    file.write_text('{"9": "Leaf", "0": "ground", "1": "sky", "4": "unlabeled"}')
    scheme = get_scheme(file)
    assert (scheme.name, scheme.class_names, scheme.sky) == ("farm", ("ground", "sky", "Leaf"), 1)
    assert not scheme.is_binary
    manifest = build(BuildConfig(out=tmp_path / "records", source=source, scheme=str(file),
                                 image_size=SIZE, storage="uint8", quiet=True))  # fmt: skip
    assert all(manifest.splits["train"].class_pixels)
    assert manifest.splits["train"].ignored_pixels
    assert scheme_encoding("sky") is None
    table = scheme_encoding(file)
    stored = stored_scheme(json.loads(json.dumps(scheme.as_dict())), None, "x")
    assert encoding_of_scheme(stored, manifest.encoding) == table == manifest.encoding
    assert read_manifest(tmp_path / "records").encoding == table
    for other, encoding in ((stored, None), (stored, "idd7"), (stored, table[:2]),
                            (SCHEMES["sky"], ((0, "not sky"), (1, "sky")))):  # fmt: skip
        assert encoding_of_scheme(other, encoding) is None


def test_not_sky_is_no_class_of_a_scheme_that_has_nothing_of_it():
    """All of it would be ignored, and the sky's IoU its mere recall."""
    for names in (("ground", "sky"), ("sky", "ground")):
        scheme = parse_scheme({"classes": [{"name": name} for name in names]}, "x")
        for encoding in ("binary1", ((0, "not sky"), (9, "sky"))):
            with pytest.raises(InputError, match="none of them is what they call 'not sky'; put a"):
                class_id_table(encoding, scheme)


def test_common_words_stand_for_cityscapes_labels_unless_the_scheme_tells_them_apart(tmp_path):
    rows = [{"name": "trees", "labels": ["tree", "grass"]}, {"name": "open", "labels": ["sky"]}]
    scheme = parse_scheme({"classes": rows}, "x")
    assert scheme.members == (("vegetation", "terrain"), ("sky",))
    assert (scheme.sky, scheme.is_binary, scheme.num_logits) == (1, True, 1)
    assert scheme.colors == ((107, 142, 35), (70, 130, 180))
    table = class_id_table("labelIds", scheme)
    assert [table[LABEL_ID[name]] for name in ("vegetation", "terrain", "sky", "car")] == [
        0,
        0,
        1,
        255,
    ]
    rooms = parse_scheme({"classes": [{"name": "door"}, {"name": "window"}]}, "x")
    assert rooms.members == (("door",), ("window",))
    file = tmp_path / "classes.json"
    file.write_text('{"3": "Window", "8": "door", "0": "other"}')
    assert class_id_table(read_classes(file), rooms)[[0, 3, 8]].tolist() == [255, 1, 0]
    binary = parse_scheme({"classes": [{"name": "sky"}, {"name": "not sky"}]}, "x")
    assert class_id_table("binary255", binary)[[0, 255]].tolist() == [1, 0]
    assert (binary.sky, binary.num_logits, binary.sky_channel) == (0, 2, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classes": [{"name": "sky"}]}, "1 class; a scheme has 2 to 254"),
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "two classes are called 'a'"),
        (
            {"classes": [{"name": "a", "labels": ["sky"]}, {"name": "sky"}]},
            "'sky' is in the classes",
        ),
        ({"classes": [{"name": "a", "color": [1, 2]}, {"name": "b"}]}, "class 'a': color"),
        ({"classes": [{"name": "a", "color": [1, 2, 256]}, {"name": "b"}]}, "class 'a': color"),
        (
            {"classes": [{"name": "a", "labels": "sky"}, {"name": "b"}]},
            r"class 'a': labels are a list, such as \[\"sky\"\]",
        ),
        (
            {"classes": [{"name": "a", "label": ["sky"]}, {"name": "b"}]},
            "class 'a': no field 'label': .* did you mean labels",
        ),
        ({"classes": ["a", "b"]}, "not a label scheme"),
        ({"classes": 3}, "not a label scheme"),
        ({"classes": [{"labels": ["sky"]}]}, "not a label scheme"),
    ],
)
def test_bad_schemes_are_refused_in_one_line(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        get_scheme(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_misspelt_labels_and_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no label scheme 'skies'.* a JSON file"):
        get_scheme("skies")
    with pytest.raises(InputError, match="no such file of classes"):
        get_scheme(tmp_path / "none.json")
    wrong = parse_scheme(
        {"classes": [{"name": "plants", "labels": ["vegitation"]}, {"name": "sky"}]}, "x"
    )
    with pytest.raises(InputError, match=r"class 'plants'.*'vegitation'.*did you mean vegetation"):
        class_id_table("labelIds", wrong)
    with pytest.raises(InputError, match="value 3 of the masks is called 'leaf'"):
        class_id_table(((3, "leaf"),), SCHEMES["sky"])


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_schemes_survive_being_stored(scheme):
    assert parse_scheme(json.loads(json.dumps(scheme.as_dict())), "x") == scheme


def test_masks_that_predict_writes_of_a_sky_first_scheme_mark_the_sky(tmp_path, monkeypatch):
    first = parse_scheme({"classes": [{"name": "sky"}, {"name": "rest", "labels": ["road"]}]}, "x")
    monkeypatch.setitem(SCHEMES, "sky_first", first)
    model = blue_model(tmp_path / "m.onnx", scheme="sky_first", long_side=96)
    write_image(tmp_path / "a.png", blue_photo())
    predict_verb.predict(
        predict_verb.PredictConfig(
            inputs=(str(tmp_path / "a.png"),), out=tmp_path / "m.png", model=str(model)
        )
    )
    mask = read_mask(tmp_path / "m.png")
    assert (mask[:18] == 255).all()
    assert (mask[22:] == 0).all()
