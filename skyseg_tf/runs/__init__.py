"""Run folders: what is in one, and where things that are made of a model lie."""
