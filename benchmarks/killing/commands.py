"""The commands that are killed."""

from dataclasses import dataclass

TRAINING = "--records records --model skynet --batch-size 2 --ema 0.9 --quiet"
EXPORTS = ("onnx", "openvino", "litert", "saved_model")


@dataclass(frozen=True)
class Command:
    """A command to be killed.

    Attributes:
      name: of its row in the table.
      line: what is typed.
      makes: the folder whose appearance is the beginning of its work.
      again: what is typed after a kill; "" for the same.
      once: what must be there for that; else it is the same too.
    """

    name: str
    line: str
    makes: str
    again: str = ""
    once: str = ""


COMMANDS = (
    Command(
        "build", "build --source scenes --out out --image-size 32 64 --shards 3 --quiet", "out"
    ),
    Command(
        "train",
        f"train {TRAINING} --epochs 2 --checkpoint-steps 4 --run out --plots plots",
        "out",
        "train --resume out --quiet",
        once="out/config.json",
    ),
    Command(
        "search",
        f"search {TRAINING} --epochs 1 --space learning_rate=1e-3,3e-3 --run out",
        "out",
    ),
    *(
        Command("export", f"export --model run --format {form} --photos 2", "run/exports")
        for form in EXPORTS
    ),
    Command(
        "predict",
        "predict scenes/leftImg8bit --out out --backend onnxruntime",
        "out",
        "predict scenes/leftImg8bit --out out --backend onnxruntime --resume",
        once="out",
    ),
    Command(
        "evaluate",
        "evaluate --model skyline --source scenes --worst 2 --quiet --backend onnxruntime",
        "runs/evaluation",
    ),
)
