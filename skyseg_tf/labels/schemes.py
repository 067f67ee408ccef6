"""Schemes: which classes there are, and which labels of the masks each of them takes in."""

from dataclasses import dataclass

import numpy as np

from skyseg_tf.labels.cityscapes import BY_NAME, CITYSCAPES_LABELS, IGNORE, LABEL_ID


@dataclass(frozen=True)
class LabelScheme:
    """A choice of classes, and which labels of the masks each of them takes in.

    Attributes:
      name: key in SCHEMES, or what a file calls it.
      class_names: one per class id, in order.
      colors: (R, G, B) 0-255, one per class id.
      members: for each class id the label names that belong to it: those of Cityscapes, or words
        of a dataset's own masks. Labels in no class are ignored.
    """

    name: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    members: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """The name and the classes, for messages."""
        return f"'{self.name}' ({', '.join(self.class_names)})"

    @property
    def num_classes(self) -> int:
        """Number of class ids in a mask (2 for sky / not sky)."""
        return len(self.class_names)

    @property
    def sky(self) -> int | None:
        """Class id of the sky and nothing else; None for a scheme that does not know it."""
        return next((i for i, names in enumerate(self.members) if names == ("sky",)), None)

    @property
    def is_binary(self) -> bool:
        """Whether one sigmoid tells the classes apart: something, and 1 for the sky."""
        return self.num_classes == 2 and self.sky == 1

    @property
    def num_logits(self) -> int:
        """Channels of a network's output: 1 (sigmoid of the sky) or one per class (softmax)."""
        return 1 if self.is_binary else self.num_classes

    @property
    def sky_channel(self) -> int | None:
        """Which channel of a network's output is the sky's; None where there is none."""
        return 0 if self.is_binary else self.sky

    @property
    def has_threshold(self) -> bool:
        """Whether a threshold on the sky's probability decides, and not the largest probability."""
        return self.is_binary

    @property
    def shows_sky_alone(self) -> bool:
        """Whether pictures and files mark the sky and nothing else: what is beside it is no class."""
        return self.is_binary

    @property
    def shown_classes(self) -> tuple[int, ...]:
        """Class ids that pictures and files mark."""
        return (self.sky,) if self.shows_sky_alone else tuple(range(self.num_classes))

    @property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8 colors by class id; ignored and unused ids are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.num_classes] = self.colors
        return palette

    @property
    def shown_palette(self) -> np.ndarray:
        """As `palette`, with black for what is not among `shown_classes`."""
        palette, shown = np.zeros((256, 3), np.uint8), list(self.shown_classes)
        palette[shown] = self.palette[shown]
        return palette

    def class_ids(
        self, probs: np.ndarray, threshold: float = 0.5, sky: np.ndarray | None = None
    ) -> np.ndarray:
        """Class ids from probabilities.

        Args:
          probs: (..., C) float, C = num_logits.
          threshold: from which probability on, it included, a pixel is sky; of several classes
            only where `sky` is given, else the most probable wins.
          sky: (...) probability of sky that is known better than in `probs`, such as along the
            photo's edges.

        Returns:
          (...) uint8.
        """
        if self.is_binary:
            return class_ids(probs if sky is None else sky[..., None], threshold)
        if sky is None:
            return class_ids(probs)
        others = probs.copy()
        others[..., self.sky] = -1
        return np.where(sky >= threshold, np.uint8(self.sky), class_ids(others))

    def decision(self, threshold: float = 0.5, *, refined: bool = False) -> str:
        """The rule of `class_ids` in words; `refined` where it is given `sky`."""
        if self.is_binary:
            return f"sky where p >= {threshold:g}"
        if refined and self.sky is not None:
            return f"sky where its refined p >= {threshold:g}, else largest probability"
        return "largest probability"

    @property
    def categories(self) -> dict[str, list[int]]:
        """Class ids of each Cityscapes category; empty if a class belongs to several, or to none."""
        groups: dict[str, list[int]] = {}
        for class_id, names in enumerate(self.members):
            of_class = {BY_NAME[name].category if name in BY_NAME else "" for name in names}
            if len(of_class) > 1 or "" in of_class:
                return {}
            groups.setdefault(of_class.pop(), []).append(class_id)
        return groups

    @property
    def label_ids(self) -> np.ndarray:
        """(256,) uint8: the Cityscapes labelId that stands for each class id.

        It is the one of the class's first member; 0 (unlabeled) for a class that mixes categories,
        such as "not sky", or has labels of its own: it claims no label, so that the benchmark's
        evaluator counts it as missed but never as a false road.
        """
        table = np.zeros(256, np.uint8)
        for class_id, names in enumerate(self.members):
            categories = {BY_NAME[name].category if name in BY_NAME else None for name in names}
            if len(categories) == 1 and None not in categories:
                table[class_id] = LABEL_ID[names[0]]
        return table

    def as_dict(self) -> dict:
        """What `parse_scheme` reads: in files of a user's own, manifests, runs and exports."""
        rows = zip(self.class_names, self.members, self.colors, strict=True)
        classes = [{"name": n, "labels": list(m), "color": list(c)} for n, m, c in rows]
        return {"name": self.name, "classes": classes}


def class_ids(scores: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Class ids from what a network gives.

    Args:
      scores: (..., C) probabilities, or logits with threshold 0.
      threshold: of one channel: from which score on, it included, a pixel is class 1.

    Returns:
      (...) uint8; of several channels the class of the largest.
    """
    if scores.shape[-1] == 1:
        return (scores[..., 0] >= threshold).astype(np.uint8)
    return scores.argmax(-1).astype(np.uint8)


def _scheme_sky() -> LabelScheme:
    # Void labels say that nobody looked, not that there is no sky: they are ignored.
    not_sky = tuple(
        label.name for label in CITYSCAPES_LABELS if label.category not in ("void", "sky")
    )
    return LabelScheme(
        "sky",
        ("not sky", "sky"),
        ((90, 90, 90), BY_NAME["sky"].color),
        (not_sky, ("sky",)),
    )


def _scheme_streets11() -> LabelScheme:
    """Ten classes of streets, and "void": whatever was labeled and is none of them.

    So "void" is a class like the others, trained and scored; what nobody labeled is ignored here
    as in every scheme.
    """
    classes = {name: (name,) for name in ("person", "road", "building", "car", "motorcycle")}
    classes["person"] = ("person", "rider")
    classes |= {name: (name,) for name in ("bicycle", "truck", "bus")}
    classes |= {name: (name,) for name in ("traffic light", "traffic sign")}
    taken = {name for members in classes.values() for name in members}
    unlabeled = {"unlabeled", "ego vehicle", "rectification border", "out of roi"}
    rest = [label.name for label in CITYSCAPES_LABELS if label.name not in taken | unlabeled]
    colors = (*(BY_NAME[name].color for name in classes), (40, 40, 40))
    return LabelScheme("streets11", (*classes, "void"), colors, (*classes.values(), tuple(rest)))


def _scheme_cityscapes19() -> LabelScheme:
    labels = sorted(
        (label for label in CITYSCAPES_LABELS if label.train_id != IGNORE),
        key=lambda label: label.train_id,
    )
    return LabelScheme(
        "cityscapes19",
        tuple(label.name for label in labels),
        tuple(label.color for label in labels),
        tuple((label.name,) for label in labels),
    )


def _scheme_idd7() -> LabelScheme:
    """The first level of the India Driving Dataset's hierarchy, in Cityscapes' labels.

    Colors are IDD's own. Reference: Varma et al., "IDD: A Dataset for Exploring Problems of
    Autonomous Navigation in Unconstrained Environments", WACV 2019; level1Id of AutoNUE's labels.
    """
    vehicles = ("car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle")
    barriers = ("wall", "fence", "guard rail")
    signs = ("pole", "polegroup", "traffic light", "traffic sign")
    classes = {
        "drivable": (("road", "parking"), (128, 64, 128)),
        "non-drivable": (("sidewalk", "rail track", "terrain"), (244, 35, 232)),
        "living things": (("person", "rider"), (220, 20, 60)),
        "vehicles": (vehicles, (0, 0, 142)),
        "roadside objects": ((*barriers, *signs), (220, 220, 0)),
        "far objects": (("building", "bridge", "tunnel", "vegetation"), (107, 142, 35)),
        "sky": (("sky",), (70, 130, 180)),
    }
    members, colors = zip(*classes.values(), strict=True)
    return LabelScheme("idd7", tuple(classes), colors, members)


def _scheme_camvid11() -> LabelScheme:
    """The eleven classes in which CamVid is scored, in the order and the colors of SegNet's copy.

    Cityscapes' labels that CamVid has no class for go where they look alike. Reference: Sturgess et
    al., "Combining appearance and structure from motion features for road scene understanding",
    BMVC 2009; Badrinarayanan et al., "SegNet", arXiv 1511.00561.
    """
    classes = {
        "sky": (("sky",), (128, 128, 128)),
        "building": (("building", "wall", "bridge", "tunnel"), (128, 0, 0)),
        "pole": (("pole", "polegroup"), (192, 192, 128)),
        "road": (("road", "parking"), (128, 64, 128)),
        "pavement": (("sidewalk",), (60, 40, 222)),
        "tree": (("vegetation",), (128, 128, 0)),
        "sign": (("traffic sign", "traffic light"), (192, 128, 128)),
        "fence": (("fence", "guard rail"), (64, 64, 128)),
        "car": (("car", "truck", "bus", "caravan", "trailer"), (64, 0, 128)),
        "pedestrian": (("person",), (64, 64, 0)),
        "bicyclist": (("bicycle", "rider", "motorcycle"), (0, 128, 192)),
    }
    members, colors = zip(*classes.values(), strict=True)
    return LabelScheme("camvid11", tuple(classes), colors, members)


SCHEMES: dict[str, LabelScheme] = {
    "sky": _scheme_sky(),
    "streets11": _scheme_streets11(),
    "cityscapes19": _scheme_cityscapes19(),
    "idd7": _scheme_idd7(),
    "camvid11": _scheme_camvid11(),
}
