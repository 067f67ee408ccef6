"""A model against labeled photos: from the files of both to scores, plots and a report."""
