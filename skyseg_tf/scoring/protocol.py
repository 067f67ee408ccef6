"""How an evaluation scores: what its figures must share to stand side by side, and its name.

Two protocols. `photo`: each photo of a dataset tree goes the way of `skyseg predict` (see
masking.prediction) with its defaults, and the ids that it would write are scored at the label's own
size. `records`: as training scores itself, squashed to the records' size and never refined; the
records themselves, or with a dataset tree its photos, enlarged to the labels' size again.
"""

from skyseg_tf.errors import counted
from skyseg_tf.masking.views import Views
from skyseg_tf.scoring.scored_model import ScoredModel, protocol_of
from skyseg_tf.scoring.settings import EvaluateConfig


def evaluation_name(config: EvaluateConfig) -> str:
    """The default name: data, split, and every option that changes the figures."""
    parts = [data.resolve().name for data in (config.source, config.records) if data]
    parts.append(config.split)
    if config.source:
        parts += filter(None, (config.layout, config.encoding))
    if config.image_size:
        parts.append("{}x{}".format(*config.image_size))
    if config.multi_scale != (1.0,):
        parts.append("scales" + "-".join(f"{scale:g}" for scale in config.multi_scale))
    if config.window:
        parts.append("window{}x{}".format(*config.window))
        if config.overlap != EvaluateConfig.overlap:
            parts.append(f"overlap{config.overlap:g}")
    parts += ["flip"] * config.flip
    parts += filter(None, [config.backend])
    if config.source and protocol_of(config) == "records":
        return "_".join([*parts, "records"])
    return "_".join(parts + ["unrefined"] * (config.source is not None and not config.refine))


def is_refined(config: EvaluateConfig, facts: ScoredModel) -> bool:
    """Whether the sky's edges follow the photo before the mask is scored."""
    return config.refine and facts.protocol == "photo"


def protocol_facts(
    config: EvaluateConfig, facts: ScoredModel, views: Views, count: int, truth: str
) -> dict:
    """What figures must share to be comparable; `data` is for people, `truth` decides.

    Args:
      config: see EvaluateConfig.
      facts: of the model.
      views: in which the network saw the photos.
      count: how many photos were scored.
      truth: a hash of their labels.
    """
    refined = is_refined(config, facts)
    if config.source:
        place = config.source.resolve().name
        how = "refined along the photo's edges" if refined else "resized bilinearly"
        scored_at = f"each label's own size (probabilities {how})"
    else:
        height, width = facts.size
        place, scored_at = facts.records.name, f"the records' size, {height}x{width}"
    return {
        "data": f"{config.split} split of {place}",
        "photos": count,
        "truth": truth,
        "classes": facts.scheme.name,
        "protocol": facts.protocol,
        "scored_at": scored_at,
        "views": views.describe(),
        "void": "ignored",
        "decision": facts.scheme.decision(facts.runtime.threshold, refined=refined),
    }


def describe_protocol(facts: dict) -> str:
    """The result of `protocol_facts` in one line."""
    return (
        f"{facts['data']}, {counted(facts['photos'], 'photo')} (truth {facts['truth']}), classes "
        f"{facts['classes']}, {facts['protocol']} protocol, scored at {facts['scored_at']}, "
        f"{facts['views']}, void {facts['void']}, {facts['decision']}"
    )
