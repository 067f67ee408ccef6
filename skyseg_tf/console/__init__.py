"""The command line: its verbs, their flags, one line for each error, and completion."""
