import numpy as np

from skyseg_tf.data.augment.examples import SHOWN, effect_examples
from skyseg_tf.data.augment.presets import AUGMENTATIONS
from skyseg_tf.data.augment.settings import RANGES, Classes
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.labels import IGNORE, LABEL_ID
from skyseg_tf.scoring.plots import plot_augmentations, save_figure


def test_the_sheet_shows_every_effect(tmp_path):
    scenes = [draw_scene(seed, (64, 96)) for seed in (5, 8)]
    image, other = (scene.image for scene in scenes)
    mask, other_mask = ((x.label_ids == LABEL_ID["sky"]).astype(np.uint8) for x in scenes)
    panels = effect_examples(image, mask, Classes(1, 0, 0), others=(other[None], other_mask[None]))
    assert {field for _, field, _ in SHOWN} == set(RANGES)
    names = {name for name, _, _ in panels}
    assert {"pale wall 2", "bare trees 2", "glare"} <= names
    presets = AUGMENTATIONS.keys() - {"none", "flip"}  # of which nothing is to be seen, or a flip
    assert {f"preset {preset} 4" for preset in presets} <= names
    assert np.array_equal(panels[0][1], image)
    for name, picture, _ in panels[1:]:
        assert np.abs(picture - image).mean() > 0.3, name
    figure = plot_augmentations(panels, 1, "all effects")
    titles = [axis.get_title("left") for axis in figure.axes]
    assert titles[: len(panels)] == [name for name, _, _ in panels]
    save_figure(figure, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 50_000


def test_without_a_sky_its_effects_are_left_out():
    image = draw_scene(5, (64, 96)).image
    none = np.zeros((64, 96), np.uint8)
    panels = effect_examples(image, none, Classes(), others=((), ()), of_each_preset=2)
    names = [name for name, _, _ in panels]
    assert "flip" in names
    assert [name for name in names if "strong" in name] == ["preset strong 1", "preset strong 2"]
    assert not [
        name
        for name in names
        if {*name.split()} & {"sky", "fog", "night", "wall", "trees", "glare"}
    ]


def test_draws_show_what_their_captions_say():
    """Of tilted's every other one is turned, and pale walls are nearly as bright as the sky."""
    scene = draw_scene(5, (64, 128), conditions="cityscapes")
    mask = (scene.label_ids == LABEL_ID["sky"]).astype(np.uint8)
    panels = effect_examples(scene.image, mask, Classes(1, 0, 0), others=((), ()))
    turned = {
        name: bool((moved == IGNORE).mean() > 0.15) for name, _, moved in panels if "tilted" in name
    }
    assert turned == {f"preset tilted {i + 1}": i % 2 == 0 for i in range(4)}
    sky = scene.image[mask == 1].mean()
    for number in (1, 2):
        (shown,) = [panel for panel in panels if panel[0] == f"pale wall {number}"]
        wall = (mask == 1) & (shown[2] == 0)
        assert wall.sum() > 40
        assert shown[1][wall].mean() > 0.5 * sky
