"""Metrics, evaluations, reports, submissions and plots."""
