"""Sky and street-scene segmentation in Keras 3: from a Cityscapes tree to masks."""

__version__ = "0.1.0"
