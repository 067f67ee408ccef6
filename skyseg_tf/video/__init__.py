"""Videos and cameras: reading, masks of frames, drawing and writing."""
