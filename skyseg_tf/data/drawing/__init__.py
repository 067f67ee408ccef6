"""Street scenes and rooms drawn with exact labels."""
