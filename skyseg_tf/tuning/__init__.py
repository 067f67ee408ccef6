"""The search for settings: space, trials and plots."""
