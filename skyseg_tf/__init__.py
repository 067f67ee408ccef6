"""Sky and street-scene segmentation in Keras 3: from a Cityscapes tree to masks."""

from skyseg_tf.dependencies import restrain

__version__ = "0.1.0"

restrain()
