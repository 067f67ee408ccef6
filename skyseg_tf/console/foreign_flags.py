"""What other tools call a flag: the words that people bring from Ultralytics, mmsegmentation, smp, Keras."""

from collections.abc import Container

# Words, and the flags that they stand for: of a command's own the first one is meant.
_ROWS = (
    ("lr lr0 base-lr init-lr initial-lr max-lr", "--learning-rate"),
    ("amp fp16 fp32 bf16 half mixed-precision autocast dtype int8 quantize", "--precision"),
    ("b batch bs batchsize train-batch-size samples-per-gpu imgs-per-gpu", "--batch-size"),
    ("imgsz img-size size img input-size crop-size resolution resize height width", "--image-size"),
    ("device gpus gpu gpu-id gpu-ids num-gpus ngpu cuda", "--devices --backend"),
    ("e epoch num-epochs n-epochs max-epochs iters max-iters max-steps", "--epochs"),
    ("wd decay l2", "--weight-decay"),
    ("optim opt", "--optimizer"),
    ("scheduler lr-scheduler lr-schedule lr-policy lrf cos-lr", "--power"),
    ("warmup warmup-epochs warmup-iters", "--warmup-steps"),
    ("criterion loss-fn loss-function", "--loss"),
    ("aug augmentation augmentations transforms", "--augment"),
    ("accum grad-accum gradient-accumulation-steps accumulate-grad-batches nbs", "--accumulate"),
    ("early-stopping early-stop", "--patience"),
    ("ema-decay model-ema", "--ema"),
    ("save-period save-freq checkpoint-interval save-steps", "--checkpoint-steps"),
    ("random-seed random-state", "--seed"),
    ("logger wandb mlflow report-to", "--track"),
    ("compile jit jit-compile", "--xla"),
    ("silent progress verbose v q", "--quiet"),
    ("resume-from continue auto-resume", "--resume"),
    ("classes nc n-classes num-labels", "--num-classes --scheme"),
    ("num-classes", "--scheme"),
    ("records tfrecords tfrecord tfrecord-dir records-dir", "--records --out"),
    ("num number num-images num-scenes", "--count"),
    ("dataset dataset-dir data data-dir data-root data-path dataroot", "--source --records"),
    ("arch architecture network net backbone encoder", "--model"),
    ("w weights pretrained checkpoint ckpt checkpoint-path load-from finetune", "--init --model"),
    ("m model-path", "--model"),
    ("depth output-stride use-psp psp recurrent model-args", "--model-options"),
    ("o output out-dir output-dir outdir save-dir savedir dst destination", "--out --name --run"),
    ("n name project work-dir workdir log-dir logdir exp exp-name out", "--name --run --out"),
    ("t thr thresh conf confidence", "--threshold"),
    ("tta", "--flip --multi-scale"),
    ("scale scales", "--multi-scale"),
    ("f fmt include", "--format"),
    ("engine runtime provider", "--backend"),
    ("subset", "--split"),
    ("webcam", "--camera"),
    ("j workers num-workers n-workers jobs n-jobs num-threads threads", "--workers --threads"),
)
_FLAGS = {word: flags.split() for words, flags in _ROWS for word in words.split()}

_THERE_IS_NONE = (
    ("j workers num-workers n-workers jobs n-jobs num-threads threads", "all cores are taken"),
    (
        "amp fp16 bf16 half int8 quantize",
        "`skyseg export --precision` writes models that compute so",
    ),
    ("iou miou metrics metric", "all scores are written"),
    ("ignore-index", "void, 255, is ignored everywhere"),
    ("momentum", "sgd has 0.9"),
    ("opset", "it is chosen for the format"),
    ("val validate val-split validation-split", "the val split is scored after every epoch"),
    ("i input inputs image images img-path source", "name photos and folders without a flag"),
)
_SAID = {word: said for words, said in _THERE_IS_NONE for word in words.split()}


def meant_by(flag: str, known: Container[str]) -> str | None:
    """What to tell somebody who typed a flag of another tool.

    Args:
      flag: as typed, such as "--lr", "-b" or "--no-amp".
      known: the flags of the command.

    Returns:
      "did you mean --learning-rate?", why there is no such flag, "" for a word that means none of
      the command's, or None for an unknown word.
    """
    word = flag.lstrip("-").lower().replace("_", "-").removeprefix("no-")
    meant = next((name for name in _FLAGS.get(word, ()) if name in known), None)
    if meant:
        return f"did you mean {meant}?"
    return _SAID.get(word, "" if word in _FLAGS else None)
