import os
import socket
import struct
import time
import zipfile
import zlib

import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.files import open_archive, read_bytes, read_member


def zipped(path, method=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def lying(path, content: bytes, announced: int):
    """An archive whose member inflates to more, or less, than its directory says."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    facts = struct.pack("<3H3L2H", 8, 0, 33, zlib.crc32(content), len(packed), announced, 1, 0)
    local = b"PK\3\4" + struct.pack("<2H", 20, 0) + facts + b"a" + packed
    listed = b"PK\1\2" + struct.pack("<3H", 20, 20, 0) + facts + bytes(14) + b"a"
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(listed), len(local), 0)
    path.write_bytes(local + listed + end)
    return path


def test_members_are_read_up_to_a_limit(tmp_path):
    path = zipped(tmp_path / "a.zip", a=b"x" * 1000, b=b"")
    assert read_bytes(f"{path}!a") == b"x" * 1000
    assert read_bytes(f"{path}!b") == b""
    with pytest.raises(InputError, match=r"a\.zip!a: .*exceed the limit"):
        read_bytes(f"{path}!a", limit=999)
    with pytest.raises(InputError, match="exceed the limit"):
        open_archive(path, limit=999)
    with pytest.raises(FileNotFoundError, match="no such member"):
        read_bytes(f"{path}!c")


@pytest.mark.parametrize("announced", [16, 10**8, 2**31])
def test_what_the_directory_announces_is_not_believed(tmp_path, announced, measured_memory):
    path = lying(tmp_path / "a.zip", bytes(300_000_000), announced)
    with measured_memory(250e6), pytest.raises(InputError, match=r"damaged|exceed"):
        read_bytes(f"{path}!a")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_python_inflates_without_bounds_are_refused(tmp_path, method):
    path = zipped(tmp_path / "a.zip", method, a=bytes(1000))
    with pytest.raises(InputError, match=r"a\.zip!a: neither stored nor deflated"):
        read_bytes(f"{path}!a")
    with pytest.raises(InputError, match="neither stored nor deflated"):
        open_archive(path, limit=10**6)


def test_damaged_archives_are_named(tmp_path):
    whole = zipped(tmp_path / "a.zip", a=os.urandom(5000)).read_bytes()
    for name, content in (
        ("torn", whole[:3000]),
        ("flipped", whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]),
        ("no", b"no archive"),
        ("empty", b""),
        ("encrypted", whole.replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1")),
        ("directory", whole[:-10] + b"\xff\xff\xff\x7f" + whole[-6:]),
    ):
        (tmp_path / f"{name}.zip").write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.zip"):
            read_bytes(f"{tmp_path}/{name}.zip!a")


def test_an_archive_of_too_many_members_is_not_listed(tmp_path):
    with open(tmp_path / "a.zip", "wb") as file:
        file.truncate(60_000_000)
        file.seek(60_000_000)
        file.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 65535, 65535, 60_000_000, 0, 0))
    with pytest.raises(InputError, match="too many members"):
        open_archive(tmp_path / "a.zip")


@pytest.mark.parametrize("told", [0xFFFFFFFF, 46])
def test_the_length_of_a_directory_is_the_one_that_zipfile_believes(tmp_path, told):
    """An archive tells it twice, and where it told it the second time."""
    length = 60_000_000
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, length, 0)
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, told, 0, 0)
    for where in (length, 0, 2**62, 2**64 - 1):  # of the second time, as the locator has it
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, where, 1)
        with open(tmp_path / "a.zip", "wb") as file:
            file.truncate(length)
            file.seek(length)
            file.write(large + locator + end)
        with pytest.raises(InputError, match=r"a\.zip: (too many members|damaged)"):
            open_archive(tmp_path / "a.zip")
        if where == length:
            with pytest.raises(InputError, match="too many members"):
                open_archive(tmp_path / "a.zip")


def test_a_replaced_archive_is_read_anew(tmp_path):
    path = zipped(tmp_path / "a.zip", a=b"old")
    assert read_bytes(f"{path}!a") == b"old"
    time.sleep(0.01)
    zipped(tmp_path / "a.zip", a=b"new!")
    assert read_bytes(f"{path}!a") == b"new!"


def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(10**12)  # a sparse file
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's path has 108 bytes at most
        listener.bind("socket.jpg")
        for name, words in (
            ("pipe", "pipe, socket or device"),
            ("socket", "pipe, socket or device"),
            ("zero", "pipe, socket or device"),
            ("folder", "is a folder"),
            ("huge", "1,000,000 MB exceed the limit of 700 MB"),
        ):
            with pytest.raises(InputError, match=words):
                read_bytes(tmp_path / f"{name}.jpg")
    with pytest.raises(OSError, match="symbolic links"):
        read_bytes(tmp_path / "circle.jpg")


def test_members_of_an_open_archive(tmp_path):
    with open_archive(zipped(tmp_path / "a.npz", a=b"1", b=b"23"), limit=3) as archive:
        assert [read_member(archive, name) for name in archive.namelist()] == [b"1", b"23"]
