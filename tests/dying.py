"""A process that is killed, at every point at which files get or lose their names."""

import itertools
import os

import pytest


class Killed(BaseException):
    """Nothing may happen to any file after it."""


def die_at(patch: pytest.MonkeyPatch, step: int, changes=("replace", "rename", "unlink", "rmdir")):
    """From the step-th change on, every one fails, cleaning up included, as after a SIGKILL."""
    numbers = itertools.count(1)

    def dying(change):
        def changed(*args, **options):
            if next(numbers) >= step:
                raise Killed
            return change(*args, **options)

        return changed

    for name in changes:
        patch.setattr(os, name, dying(getattr(os, name)))
