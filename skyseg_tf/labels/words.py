"""What else labels are called: common words for one, and words for several among which none tells."""

from skyseg_tf.labels.schemes import SCHEMES


def normal(given: str) -> str:
    """A label as it is compared."""
    return " ".join(given.lower().replace("_", " ").replace("-", " ").split())


# Words for several labels among which a mask does not tell.
GROUPS: dict[str, tuple[str, ...]] = {"not sky": SCHEMES["sky"].members[0]} | {
    normal(name): labels
    for name, labels in zip(SCHEMES["idd7"].class_names, SCHEMES["idd7"].members, strict=True)
}

# What other datasets call the Cityscapes labels; "unlabeled" is ignored.
_OTHER_WORDS = {
    "sidewalk": ("pavement",),
    "road": ("street",),
    "building": ("door", "window", "house"),
    "vegetation": ("tree", "plant"),
    "terrain": ("grass",),
    "traffic sign": ("sign",),
    "pole": ("column",),
    "person": ("pedestrian", "human"),
    "rider": ("cyclist",),
    "bicycle": ("bike",),
    "motorcycle": ("motorbike",),
    "unlabeled": ("various", "other", "void", "ignore", "ignored", "unlabeled", "unknown"),
}
_LABEL_OF = {word: label for label, words in _OTHER_WORDS.items() for word in words}


def label_of(word: str) -> str:
    """The Cityscapes label that a common word means; other words as they are."""
    return _LABEL_OF.get(word, word)


def meant(word: str) -> tuple[str, ...]:
    """The Cityscapes labels that a word stands for; a word that stands for none, itself."""
    label = label_of(word)
    return GROUPS.get(label, (label,))
