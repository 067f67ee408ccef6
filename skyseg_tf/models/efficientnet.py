"""What the encoders of EfficientNet's family share: their table of stages, read block by block."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

EXPANSION = 6  # of every block, but for those of the first stage


class Block(NamedTuple):
    """One inverted residual of the table.

    Attributes:
      number: in the whole network, from 0.
      stage, index: of its stage, and in it, from 0.
      filters: channels out.
      kernel, stride: of the depthwise convolution.
      expand: factor of the width inside; 1: there is no expansion.
      is_last: of its stage.
    """

    number: int
    stage: int
    index: int
    filters: int
    kernel: int
    stride: int
    expand: int
    is_last: bool


def blocks_of(stages: Sequence[tuple[int, int, int, int]]) -> Iterator[Block]:
    """The blocks of a network, one after the other.

    Args:
      stages: (repeats, kernel, stride, channels out) each. The first block of a stage has its
        stride; the first stage does not expand.

    Reference: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
      Networks", ICML 2019, arXiv 1905.11946, table 1.
    """
    number = 0
    for stage, (repeats, kernel, stride, filters) in enumerate(stages):
        for index in range(repeats):
            yield Block(
                number,
                stage,
                index,
                filters,
                kernel,
                stride if index == 0 else 1,
                EXPANSION if stage else 1,
                index == repeats - 1,
            )
            number += 1
