"""Files that are written whole or not at all, and the folders they lie in."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from skyseg_tf.errors import InputError, NoFolder
from skyseg_tf.files import is_of_disk, locks
from skyseg_tf.files.aside import (
    check_folder,
    discard_asides,
    make_folder,
    remove_left,
    write_aside,
)


def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path):
    target = tmp_path / ("ü" * 120 + ".png")
    with (
        write_aside(target) as aside,
        write_aside(tmp_path / ("ü" * 120 + ".txt")) as other,
    ):
        assert aside != other
        aside.write_bytes(b"a")
        other.write_bytes(b"b")
    assert target.read_bytes() == b"a"
    assert len(list(tmp_path.iterdir())) == 2


def test_write_aside_leaves_the_file_to_who_writes_it(tmp_path):
    """Of a file that was there and empty, ext4 writes all to the disk at once when it is closed."""
    with write_aside(tmp_path / "x", ".tmp.keras") as aside:
        assert not aside.exists()
        aside.write_bytes(b"1")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_folders_above_a_file_are_made(tmp_path):
    with write_aside(tmp_path / "new" / "deep" / "x") as aside:
        aside.write_bytes(b"1")
    assert (tmp_path / "new" / "deep" / "x").read_bytes() == b"1"


def test_what_was_begun_is_discarded_and_never_gets_its_name(tmp_path):
    def write() -> None:
        with write_aside(tmp_path / "x") as aside:
            aside.write_bytes(b"half")
            discard_asides()

    with pytest.raises(FileNotFoundError) as told:
        write()
    assert told.value.filename == str(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_write_aside_leaves_nothing_behind_on_error(tmp_path):
    with pytest.raises(ZeroDivisionError), write_aside(tmp_path / "x") as aside:
        aside.write_text(f"half {1 / 0}")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_has_begun_goes_and_what_a_live_one_writes_stays(tmp_path):
    """Of four killed predictions one left a half-written mask beside the others, for good."""
    names = (".a.png.7-0.tmp", ".a.png.7-0.tmp.lock", ".m.keras.7-1.tmp.keras", ".b.7-2.tmp.lock")
    left = [tmp_path / name for name in names]
    mine = [tmp_path / ".a.png", tmp_path / "b.7-0.tmp", tmp_path / ".a.png.7.tmp"]
    for path in (*left, *mine):
        path.touch()
    with write_aside(tmp_path / "x") as aside:
        aside.write_bytes(b"1")
        assert not any(path.exists() for path in left)
        code = "import sys; from skyseg_tf.files.aside import remove_left; remove_left(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
        remove_left(tmp_path)
        assert aside.exists()
    assert sorted(tmp_path.iterdir()) == sorted([*mine, tmp_path / "x"])


def test_a_disk_without_locks_is_written_to_and_nothing_of_it_is_removed(tmp_path, monkeypatch):
    def lock(path):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(locks, "lock", lock)
    (tmp_path / ".a.png.7-0.tmp").touch()
    with write_aside(tmp_path / "x") as aside:
        aside.write_bytes(b"1")
    assert {path.name for path in tmp_path.iterdir()} == {".a.png.7-0.tmp", "x"}


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    check_folder(tmp_path / "new" / "deep")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file is in the way"):
        check_folder(tmp_path / "file" / "deep")
    with tempfile.TemporaryDirectory() as shared:  # pytest's own is for one user alone
        os.chmod(shared, 0o755)
        (Path(shared) / "closed").mkdir(mode=0o555)
        if os.geteuid() == 0:  # who may do everything asks as somebody else
            os.seteuid(65534)
        try:
            with pytest.raises(InputError, match=r"no permission to write in .*closed; choose"):
                check_folder(Path(shared) / "closed" / "deep")
        finally:
            os.seteuid(os.getuid())


def test_no_error_names_the_temporary_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError) as told, write_aside(tmp_path / "a") as aside:
        aside.write_text("")
    assert told.value.filename == str(tmp_path / "a")


@pytest.mark.parametrize(
    "names", [(), ("photo.png", None, "ASIDE")], ids=["of a write", "of a copy"]
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_what_finds_no_room_is_the_file_that_is_written(tmp_path, number, names):
    """A copy that fails names its source first: users looked for room on the wrong disk."""
    with pytest.raises(OSError, match="x") as told, write_aside(tmp_path / "a") as aside:
        raise OSError(number, "x", *(str(aside) if n == "ASIDE" else n for n in names))
    assert told.value.filename == str(tmp_path / "a")


@pytest.mark.parametrize(("number", "names"), [(errno.EIO, ("photo.png",)), (errno.ECONNRESET, ())])
def test_errors_of_something_else_keep_their_name(tmp_path, number, names):
    """A photo that cannot be read is no fault of the file that is made of it."""
    with pytest.raises(OSError, match="x") as told, write_aside(tmp_path / "a"):
        raise OSError(number, "x", *names)
    assert told.value.filename == (names[0] if names else None)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux's folder where none can be made")
def test_a_folder_that_cannot_be_made_is_one_line_and_no_single_files_affair(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (Path("/proc/x"), tmp_path / "file" / "deep"):
        with pytest.raises(
            NoFolder, match=r"no such folder can be made .*; choose another"
        ) as told:
            make_folder(folder)
        assert str(told.value).startswith(f"{folder}: ")
        assert is_of_disk(told.value)
