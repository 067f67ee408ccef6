"""Checkpoints of mmsegmentation: their names as ours, and what their networks have otherwise.

Its BiSeNetV2 and PSPNet differ from the codes that ours follow (`variant=mmseg` builds them), and
it names their parameters otherwise.

Reference: https://github.com/open-mmlab/mmsegmentation, mmseg/models/backbones/bisenetv2.py and
resnet.py (ResNetV1c), mmseg/models/decode_heads/psp_head.py and fcn_head.py.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from skyseg_tf.errors import InputError

_CLASSES = "decode_head.conv_seg.weight"
_SEPARABLE = (
    (r"\.depthwise_conv\.conv\.", ".0."),
    (r"\.depthwise_conv\.bn\.", ".1."),
    (r"\.pointwise_conv\.conv\.", ".2."),
    (r"\.pointwise_conv\.bn\.", ".3."),
)
_STAGES = {"2": "S3", "3": "S4", "4": "S5_4"}
_SIDES = {"detail_dwconv": "left1", "semantic_dwconv": "right2"}
_PLAIN = {"detail_down.0": "left2", "semantic_conv.0": "right1", "conv": "conv"}
_AUX = {"0": "aux2", "1": "aux3", "2": "aux4", "3": "aux5_4"}


def _index(part: str) -> str:
    """A ConvModule's parts in a sequence of ours."""
    return {"conv": "0", "bn": "1"}[part]


# Pattern of a name there, and its name here (a template, or made from the match).
_BISENETV2 = (
    (r"backbone\.detail\.detail_branch\.(\d)\.", lambda m: f"detail.S{int(m[1]) + 1}."),
    (r"backbone\.semantic\.stage1\.conv_first\.", "segment.S1S2.conv."),
    (r"backbone\.semantic\.stage1\.convs\.", "segment.S1S2.left."),
    (r"backbone\.semantic\.stage1\.fuse_last\.", "segment.S1S2.fuse."),
    (r"backbone\.semantic\.stage4_CEBlock\.gap\.1\.", "segment.S5_5.bn."),
    (r"backbone\.semantic\.stage4_CEBlock\.", "segment.S5_5."),
    (r"backbone\.semantic\.stage(\d)\.", lambda m: f"segment.{_STAGES[m[1]]}."),
    # The first block of a stage halves: it has two depthwise convolutions and a shortcut.
    (
        r"(segment\.S\w+\.0)\.dwconv\.(\d)\.(conv|bn)\.",
        lambda m: f"{m[1]}.dwconv{int(m[2]) + 1}.{_index(m[3])}.",
    ),
    (
        r"(segment\.S\w+\.\d)\.(dwconv|conv2)\.0\.(conv|bn)\.",
        lambda m: f"{m[1]}.{m[2]}.{_index(m[3])}.",
    ),
    (r"(segment\.S\w+\.0\.shortcut)\.0\.", r"\1."),
    (r"backbone\.bga\.(detail_dwconv|semantic_dwconv)\.0\.", lambda m: f"bga.{_SIDES[m[1]]}."),
    (
        r"backbone\.bga\.(detail_down\.0|semantic_conv\.0|conv)\.(conv|bn)\.",
        lambda m: f"bga.{_PLAIN[m[1]]}.{_index(m[2])}.",
    ),
    *_SEPARABLE,
    (r"decode_head\.convs\.0\.", "head.conv."),
    (r"decode_head\.conv_seg\.", "head.conv_out.1."),
    (r"auxiliary_head\.(\d)\.convs\.0\.", lambda m: f"{_AUX[m[1]]}.conv."),
    (r"auxiliary_head\.(\d)\.convs\.1\.", lambda m: f"{_AUX[m[1]]}.conv2."),
    (r"auxiliary_head\.(\d)\.conv_seg\.", lambda m: f"{_AUX[m[1]]}.conv_out.1."),
)
_PSPNET = (
    (r"backbone\.stem\.", "layer0."),
    (r"backbone\.layer", "layer"),
    (r"decode_head\.psp_modules\.(\d)\.1\.conv\.", r"ppm.features.\1.1."),
    (r"decode_head\.psp_modules\.(\d)\.1\.bn\.", r"ppm.features.\1.2."),
    (r"decode_head\.bottleneck\.conv\.", "cls.0."),
    (r"decode_head\.bottleneck\.bn\.", "cls.1."),
    (r"decode_head\.conv_seg\.", "cls.4."),
    (r"auxiliary_head\.convs\.0\.conv\.", "aux.0."),
    (r"auxiliary_head\.convs\.0\.bn\.", "aux.1."),
    (r"auxiliary_head\.conv_seg\.", "aux.4."),
)
_RULES = {"bisenetv2": _BISENETV2, "pspnet": _PSPNET}


def is_mmsegmentation(state: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict bears mmsegmentation's names."""
    return _CLASSES in state and any(name.startswith("backbone.") for name in state)


def renamed(model: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state dict under our names; one of another origin as it is.

    Args:
      model: key of models.MODELS.
      state: published name -> array.

    Raises:
      InputError: mmsegmentation's, of a network whose names there are not known here.
    """
    if not is_mmsegmentation(state):
        return dict(state)
    if model not in _RULES:
        raise InputError(
            f"{model}: of mmsegmentation's checkpoints {' and '.join(_RULES)} are understood; give "
            "the one of the paper's own code"
        )
    return {_name(name, _RULES[model]): array for name, array in state.items()}


def _name(name: str, rules: tuple) -> str:
    for pattern, ours in rules:
        name = re.sub(f"^{pattern}" if pattern[0] != "\\" else pattern, ours, name)
    return name


def settings_of(model: str, state: Mapping[str, np.ndarray]) -> tuple[int, dict[str, Any]]:
    """Classes and options of the network that a checkpoint of mmsegmentation is of.

    Args:
      model: key of models.MODELS.
      state: published name -> array.

    Returns:
      For build_model; 1 and none for a checkpoint of another origin.
    """
    if not is_mmsegmentation(state) or model not in _RULES:
        return 1, {}
    options: dict[str, Any] = {"variant": "mmseg"}
    if any(name.startswith("backbone.layer3.22.") for name in state):
        options["depth"] = 101
    return len(state[_CLASSES]), options
