"""Another sky in a photo: what the new sky looks like, and what of each pixel is sky."""
