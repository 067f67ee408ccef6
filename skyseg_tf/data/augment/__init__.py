"""Changes of training photos and their masks: one op per function, presets as a table."""
