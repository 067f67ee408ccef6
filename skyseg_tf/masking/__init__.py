"""The way from a photo to classes and probabilities: runtimes, views, refinement, formats."""
