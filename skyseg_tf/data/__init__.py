"""From a raw dataset tree to a tf.data stream, one file per step."""
