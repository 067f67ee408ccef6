"""Masks over HTTP: requests, answers, figures and pages of `skyseg serve`."""
