"""Where a search's study is kept: SQLite, a journal, or a database with a server.

Optuna warns of SQLite with many writers, who may find the database locked; here every access happens
under the study's lock, so there is one at a time. For machines that share a disk on which SQLite is
not safe there are a journal, of which a line that was cut short (a kill, a full disk) is taken off
under the same lock, before it makes all that follows unreadable, and databases with a server.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.errors import InputError, in_one_line
from skyseg_tf.files.aside import make_folder
from skyseg_tf.files.locks import lock

JOURNAL = "journal"
_DATABASE_FILE, _JOURNAL_FILE = "study.db", "study.journal"


def import_optuna():
    """Optuna, quiet.

    Raises:
      InputError: it is not installed.
    """
    check_installed("a search", "optuna", install="'skyseg_tf[scale]' (or optuna)")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def exclusive(folder: Path, storage: str | None = None) -> Iterator[None]:
    """Inside, this process alone works on what the search's folder says about its trials.

    Args:
      folder: of the search; made if absent.
      storage: see `open_storage`.
    """
    make_folder(folder)
    with lock(folder / "lock", wait=True):
        if storage == JOURNAL:
            _take_off_torn_line(folder / _JOURNAL_FILE)
        yield


def open_storage(folder: Path, storage: str | None):
    """What Optuna calls a storage; it makes its tables.

    Args:
      folder: of the search.
      storage: URL of a database, as Optuna takes it; JOURNAL: a file of the folder; None: SQLite in
        the folder.

    Raises:
      InputError: a database that does not answer, or Optuna is not installed.
    """
    if storage is None:
        return f"sqlite:///{(folder / _DATABASE_FILE).resolve()}"
    if storage == JOURNAL:
        journal = import_optuna().storages.journal
        backend = journal.JournalFileBackend(str(folder / _JOURNAL_FILE), _LockedAlready())
        return journal.JournalStorage(backend)
    return _open_database(storage)


def study_name(folder: Path, storage: str | None) -> str:
    """The study's name in its storage: a database may hold other searches."""
    return "search" if storage in (None, JOURNAL) else str(folder.resolve())


def check_storage(storage: str | None) -> None:
    """Refuses a database that does not answer, before a search has written or imported anything.

    Args:
      storage: see `open_storage`.

    Raises:
      InputError: what is wrong with it, or Optuna is not installed.
    """
    import_optuna()
    if storage not in (None, JOURNAL):
        _open_database(storage)


def _open_database(url: str):
    """Optuna's storage there; it makes its tables."""
    try:
        return import_optuna().storages.RDBStorage(url)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or error.name
        raise InputError(f"--storage needs {package}: pip install {package}") from None
    except Exception as error:  # SQLAlchemy and each driver have errors of their own
        raise InputError(
            f"--storage: no database answers there ({in_one_line(error)}); give {JOURNAL} or a "
            "URL such as postgresql://user:password@host/name"
        ) from None


class _LockedAlready:
    """The journal's lock: nobody opens it but under the study's, which a dying process leaves."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _take_off_torn_line(journal: Path) -> None:
    """Removes what a killed process has written of a line."""
    if not journal.exists():
        return
    with open(journal, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
            end -= 1
        file.truncate(end)
