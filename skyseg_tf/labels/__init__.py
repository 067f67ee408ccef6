"""Label ids, schemes and colors: the only place that knows what a class is called.

A mask is a uint8 array of class ids of one scheme, with 255 (IGNORE) for pixels that are never
counted, neither in a loss nor in a metric. Datasets store masks in one of ENCODINGS; lookup tables
bring each of them to each scheme.
"""

from skyseg_tf.labels.cityscapes import (
    CITYSCAPES_LABELS,
    IGNORE,
    LABEL_ID,
    Label,
    label_ids_from_color,
)
from skyseg_tf.labels.encodings import (
    ENCODINGS,
    Encoding,
    StoredLabels,
    check_encoding,
    class_id_table,
    decode_mask,
    describe_encoding,
    guess_encoding,
    is_color,
    single_channel,
    stored_values,
    value_names,
    values_of,
)
from skyseg_tf.labels.own_files import (
    encoding_of_scheme,
    get_scheme,
    parse_scheme,
    read_classes,
    scheme_encoding,
    scheme_of_classes,
    stored_scheme,
)
from skyseg_tf.labels.schemes import (
    SCHEMES,
    LabelScheme,
    class_ids,
)
from skyseg_tf.labels.words import (
    GROUPS,
    label_of,
)

__all__ = [
    "CITYSCAPES_LABELS",
    "ENCODINGS",
    "GROUPS",
    "IGNORE",
    "LABEL_ID",
    "SCHEMES",
    "Encoding",
    "Label",
    "LabelScheme",
    "StoredLabels",
    "check_encoding",
    "class_id_table",
    "class_ids",
    "decode_mask",
    "describe_encoding",
    "encoding_of_scheme",
    "get_scheme",
    "guess_encoding",
    "is_color",
    "label_ids_from_color",
    "label_of",
    "parse_scheme",
    "read_classes",
    "scheme_encoding",
    "scheme_of_classes",
    "single_channel",
    "stored_scheme",
    "stored_values",
    "value_names",
    "values_of",
]
