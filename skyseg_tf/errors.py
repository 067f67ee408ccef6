"""The one exception for bad input."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, where (file, record, field), and what to do.
    The commands print it without a traceback and exit with status 2.
    """
