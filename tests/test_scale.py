"""Several machines: places that fsspec reaches, and work that a Ray cluster does."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from drawn_trees import add_scene, camvid, flat, write_mask

from skyseg_tf.data import building
from skyseg_tf.data.checks import check_dataset
from skyseg_tf.data.copies import local_file, local_records
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.data.flattening import flatten_dataset
from skyseg_tf.data.records import read_manifest, read_tfrecord
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import InputError
from skyseg_tf.files import read_bytes
from skyseg_tf.files.places import is_remote, local_copy, place, uploaded
from skyseg_tf.masking.formats import is_whole
from skyseg_tf.masking.settings import PredictConfig
from skyseg_tf.predict import predict
from skyseg_tf.scale.cluster import connected

SIZE = (32, 64)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for seed in range(12):
        add_scene(root, "train" if seed % 4 else "val", f"city{seed % 3}", seed)
    return root


@pytest.fixture
def memory():
    """A storage of fsspec that is no folder; it lives in this process."""
    fsspec = pytest.importorskip("fsspec")
    storage = fsspec.filesystem("memory")
    storage.store.clear()
    storage.pseudo_dirs[:] = [""]
    yield storage
    storage.store.clear()


def config(source, out, **changes) -> BuildConfig:
    return BuildConfig(source=source, out=out, image_size=SIZE, quiet=True, shards=4, **changes)


def content(folder) -> dict:
    """Name -> bytes of each file of a finished build, build.json but for what it says of itself."""
    files = sorted(path for path in place(folder).iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in files}


class ElsewhereEngine:
    """Does what a cluster does to a build: all is sent by pickle, and done in another order."""

    def map(self, function, items, counts, tell):
        results = {}
        for name in reversed(list(items)):
            sent = pickle.loads(pickle.dumps((function, name, items[name])))
            results[name] = pickle.loads(pickle.dumps(sent[0](*sent[1:], lambda count: None)))
            tell(counts[name])
        return {name: results[name] for name in items}


# --- places ---


def test_a_url_is_known_also_where_it_has_been_a_path():
    for text in ("s3://bucket/a/b.png", "gs://bucket", "memory://a", "S3://bucket/a"):
        assert is_remote(text)
        assert is_remote(Path(text))
    for text in (
        "https://a.org/a.jpg",
        "/a/s3:/b",
        "a/b",
        "C:/photos",
        "file:///a/b",
        "a.zip!b/c.png",
        "2:/x",
    ):
        assert not is_remote(text)
    assert place("file:///a/b") == place(Path("file:///a/b")) == Path("/a/b")
    assert place("a/b") == Path("a/b")
    for text in ("file:/a/b%20c", "FILE:///a/b%20c", "file://localhost/a/b%20c", "file:////a/b c"):
        assert place(text) == Path("/a/b c")
    assert place("file:///%FF") == Path(os.fsdecode(b"/\xff"))
    with pytest.raises(InputError, match=r"file://host/a: a file of another machine \(host\)"):
        place("file://host/a")


def test_an_unknown_kind_of_url_is_refused_in_a_line(tmp_path):
    pytest.importorskip("upath")
    with pytest.raises(InputError, match="nosuch://a/b: "):
        building.build(config("nosuch://a/b", tmp_path / "r"))


def test_a_file_of_a_storage_is_read_up_to_a_limit_by_two_requests(memory, monkeypatch):
    """Where its end is left open s3fs asks for its size once more."""
    pytest.importorskip("upath")
    asked = []
    monkeypatch.setattr(
        type(memory), "cat_file", lambda self, path, start, end: asked.append((start, end)) or b"x"
    )
    for content in (b"", b"abc"):
        memory.pipe_file("/bucket/a", content)
        assert read_bytes("memory://bucket/a") == (b"x" if content else b"")
    with pytest.raises(InputError, match=r"memory://bucket/a: .* exceed the limit"):
        read_bytes("memory://bucket/a", limit=2)
    monkeypatch.setattr(type(memory), "size", lambda self, path: None)
    read_bytes("memory://bucket/a")
    assert asked == [(0, 3), (None, None)]


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_files_go_to_a_storage_and_back_on_every_system(memory, monkeypatch, tmp_path, system):
    """Linux alone has files without a name."""
    pytest.importorskip("upath")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    target = place("memory://bucket/folder/a.txt")
    with uploaded(target) as aside:
        assert str(aside).startswith("/proc/") == (system == "linux")
        aside.write_text("whole")

    def is_stopped() -> None:
        with uploaded(target) as aside:
            aside.write_text("torn")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        is_stopped()
    with local_copy(target) as copy:
        assert copy.read_text() == "whole"
    assert not list(tmp_path.iterdir())


# --- build ---


@pytest.mark.parametrize("storage", STORAGES)
def test_a_build_does_not_depend_on_who_did_it(tree, tmp_path, storage):
    building.build(config(tree, tmp_path / "here", storage=storage))
    building.build(config(tree, tmp_path / "there", storage=storage), ElsewhereEngine())
    assert content(tmp_path / "there") == content(tmp_path / "here")
    assert not list((tmp_path / "there").glob(".*"))
    before = content(tmp_path / "there")
    building.build(config(tree, tmp_path / "there", storage=storage), ElsewhereEngine())
    assert content(tmp_path / "there") == before


def test_a_mask_of_another_size_is_refused_where_it_is_read(tree, tmp_path):
    wrong = shutil.copytree(tree, tmp_path / "tree")
    mask = next(wrong.glob("gtFine/*/*/*labelIds.png"))
    write_mask(mask, size=(4, 8))
    with pytest.raises(InputError, match=f"{mask}: the mask is 8 x 4, its photo 16 x 8"):
        building.build(config(wrong, tmp_path / "r"), ElsewhereEngine())


@pytest.mark.parametrize("kind", ["cityscapes", "camvid", "flat"])
def test_source_and_target_may_be_urls(tmp_path, memory, kind, tree):
    pytest.importorskip("upath")
    source = {"cityscapes": lambda: tree, "camvid": lambda: camvid(tmp_path / "tree")}
    source = source.get(kind, lambda: flat(tmp_path / "tree", tuple("abcdefgh")))()
    memory.put(str(source), "/photos", recursive=True)
    building.build(config(source, tmp_path / "here"))
    building.build(config("memory://photos", "memory://records"))
    assert content("memory://records") == content(tmp_path / "here")
    building.build(config(Path("memory://photos"), Path("memory://records")))  # and keeps them
    with pytest.raises(InputError, match="storage was normalized, now png"):
        building.build(config("memory://photos", "memory://records", storage="png"))
    assert not [name for name in memory.find("/records") if "/." in name]


@pytest.mark.parametrize("fast", [False, True])
def test_a_dataset_of_a_url_is_checked(tree, memory, fast):
    pytest.importorskip("upath")
    memory.put(str(tree), "/photos", recursive=True)
    there, here = (
        check_dataset(root, fast=fast).as_dict() for root in (Path("memory://photos"), tree)
    )
    assert there | {"source": None} == here | {"source": None}


def test_a_dataset_of_a_url_is_not_flattened(tree, tmp_path, memory, monkeypatch):
    pytest.importorskip("upath")
    memory.put(str(tree), "/photos", recursive=True)
    monkeypatch.setenv("CITYSCAPES_DATASET", "memory://photos")
    with pytest.raises(InputError, match=r"source memory://photos.*copy it to this machine"):
        flatten_dataset(None, tmp_path / "flat")
    assert not list(tmp_path.iterdir())


def test_what_began_elsewhere_goes_on(tree, tmp_path, memory):
    pytest.importorskip("upath")

    class Dying(ElsewhereEngine):
        def map(self, function, items, counts, tell):
            super().map(function, dict(list(items.items())[:5]), counts, tell)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        building.build(config(tree, "memory://records"), Dying())
    with pytest.raises(InputError, match=r"no dataset\.json there"):
        read_manifest("memory://records")
    building.build(config(tree, "memory://records"), ElsewhereEngine())
    building.build(config(tree, tmp_path / "here"))
    assert content("memory://records") == content(tmp_path / "here")


@pytest.mark.parametrize("dies", [False, True])
def test_a_build_does_not_trust_what_a_storage_lists(tree, tmp_path, memory, monkeypatch, dies):
    """It may show for minutes what there was before, also to who goes on with a build."""
    pytest.importorskip("upath")

    class Dying(ElsewhereEngine):
        def map(self, function, items, counts, tell):
            super().map(function, dict(list(items.items())[:5]), counts, tell)
            raise KeyboardInterrupt

    building.build(config(tree, tmp_path / "here"))
    with monkeypatch.context() as late:
        late.setattr(type(memory), "ls", lambda *_, **__: [])
        if dies:
            with pytest.raises(KeyboardInterrupt):
                building.build(config(tree, "memory://records"), Dying())
        building.build(config(tree, "memory://records"), ElsewhereEngine())
    building.build(config(tree, "memory://records"))  # keeps them, and tidies up
    assert content("memory://records") == content(tmp_path / "here")
    assert not [name for name in memory.find("/records") if "/." in name]


def test_one_machine_imports_nothing_of_it(tree, tmp_path):
    code = (
        "import sys; from pathlib import Path; from skyseg_tf.build import build, BuildConfig; "
        "build(BuildConfig(out=Path(sys.argv[2]), source=Path(sys.argv[1]), image_size=(8, 16), "
        "quiet=True)); import skyseg_tf.scale, skyseg_tf.predict; "
        "import skyseg_tf.training.story, skyseg_tf.training.search; "
        "print({'ray', 'fsspec', 'upath', 's3fs'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, tree, tmp_path / "r"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


# --- reading ---


def test_records_of_a_url_are_copied_once_and_compared(tree, tmp_path, memory):
    pytest.importorskip("upath")
    building.build(config(tree, "memory://records", storage="uint8"))
    folder = local_records("memory://records", tmp_path, quiet=True)
    manifest = read_manifest(folder)
    shards = [shard.file for split in manifest.splits.values() for shard in split.shards]
    times = {shard: (folder / shard).stat().st_mtime_ns for shard in shards}
    (folder / shards[0]).unlink()
    assert local_records(Path("memory://records"), tmp_path, quiet=True) == folder
    now = {shard: (folder / shard).stat().st_mtime_ns for shard in shards}
    assert [shard for shard in shards if now[shard] != times[shard]] == shards[:1]
    (folder / shards[0]).unlink()
    memory.pipe_file(f"/records/{shards[0]}", b"another")
    with pytest.raises(InputError, match=f"{shards[0]}: not the file that its dataset.json names"):
        local_records("memory://records", tmp_path, quiet=True)
    assert not list(folder.glob(".*"))


def test_read_tfrecord_reads_a_url(tree, tmp_path, memory):
    pytest.importorskip("upath")
    manifest = building.build(config(tree, "memory://records", storage="png"))
    building.build(config(tree, tmp_path / "here", storage="png"))
    names = [shard.file for shard in manifest.splits["train"].shards]
    with pytest.raises(InputError, match="name a folder for it: copies=DIR"):
        read_tfrecord(f"memory://records/{names[0]}")
    there = read_tfrecord([f"memory://records/{name}" for name in names], copies=tmp_path / "c")
    here = read_tfrecord([str(tmp_path / "here" / name) for name in names])
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["mask"], other["mask"])
    with pytest.raises(InputError, match=r"no shard 'x\.tfrecord'"):
        local_file("memory://records/x.tfrecord", tmp_path / "c")


# --- predict ---


def masks(folder) -> dict:
    there = place(folder)
    found = there.fs.find(there.path) if is_remote(there) else map(str, there.rglob("*.*"))
    start = len(there.path if is_remote(there) else str(there)) + 1
    return {str(one)[start:]: (there / str(one)[start:]).read_bytes() for one in found}


def test_photos_and_masks_may_be_urls(photos, tmp_path, memory, capsys):
    pytest.importorskip("upath")
    memory.put(str(photos), "/photos", recursive=True)
    assert predict(PredictConfig((str(photos),), tmp_path / "here", quiet=True)) == 1
    settings = PredictConfig(("memory://photos",), Path("memory://masks"), quiet=True)
    assert predict(settings) == 1
    assert "memory://photos/0/torn.png: not a readable image" in capsys.readouterr().err
    assert masks("memory://masks") == masks(tmp_path / "here")
    one = PredictConfig(("MEMORY://photos/*/3.png",), Path("Memory://one"), quiet=True)
    assert predict(one) == 0
    assert list(masks("memory://one")) == ["1/3.png"]
    memory.put(str(photos / "0/0.png"), "/named/x[1].png")
    named = PredictConfig(("memory://named/x[1].png",), Path("memory://two"), quiet=True)
    assert predict(named) == 0
    assert list(masks("memory://two")) == ["x[1].png"]
    with pytest.raises(InputError, match="no such file or folder"):
        predict(PredictConfig(("memory://nowhere",), tmp_path / "x"))
    with pytest.raises(InputError, match="no photos there"):
        predict(PredictConfig(("memory://photos/*.gif",), tmp_path / "x"))


def test_names_of_a_storage_do_not_lead_out_of_the_folder_of_the_masks(
    photos, tmp_path, memory, capsys
):
    """To a storage `..`, `//` and `s3:` are letters like any others."""
    pytest.importorskip("upath")
    photo = (photos / "0/0.png").read_bytes()
    strange = ("a/../../../evil/x.png", "/evil.png", "s3:/b/x.png", "memory:/x.png", "file:/x.png")
    for name in (*strange, "a..b.png", "a/b.png"):
        memory.pipe_file(f"/photos/{name}", photo)
    top = tmp_path / "top"
    assert predict(PredictConfig(("memory://photos",), top / "in" / "masks")) == 0
    found = sorted(path.relative_to(top).as_posix() for path in top.rglob("*.png"))
    assert found == ["in/masks/a..b.png", "in/masks/a/b.png"]
    assert "left out: 5 names with .. or // or a URL in them" in capsys.readouterr().out


def test_resume_leaves_out_what_is_there_and_whole(photos, tmp_path, capsys):
    settings = PredictConfig((str(photos),), tmp_path / "masks", resume=True)
    assert predict(settings) == 1
    before = masks(tmp_path / "masks")
    times = {name: (tmp_path / "masks" / name).stat().st_mtime_ns for name in before}
    (tmp_path / "masks/0/2.png").write_bytes(before["0/2.png"][:-1])
    (tmp_path / "masks/1/3.png").unlink()
    capsys.readouterr()
    assert predict(settings) == 1  # the torn photo is tried again
    assert "4 were there already" in capsys.readouterr().out
    assert masks(tmp_path / "masks") == before
    now = {name: (tmp_path / "masks" / name).stat().st_mtime_ns for name in before}
    assert {name for name in now if now[name] != times[name]} == {"0/2.png", "1/3.png"}
    assert predict(settings) == 1
    assert capsys.readouterr().out == "6 were there already\n"
    with pytest.raises(InputError, match="--resume is for a file for each photo"):
        predict(replace(settings, format="csv", out=None))


@pytest.mark.parametrize("suffix", ["npy", "json"])
def test_outputs_of_every_kind_are_known_to_be_whole(photos, tmp_path, suffix):
    out = tmp_path / f"mask.{suffix}"
    predict(PredictConfig((str(photos / "0/0.png"),), out, format=suffix, quiet=True))
    assert is_whole(out)
    out.write_bytes(out.read_bytes()[:-3])
    assert not is_whole(out)
    assert not is_whole(tmp_path / "missing.png")


@pytest.fixture
def ray_that_starts(monkeypatch):
    """A Ray that does one thing alone, where a cluster of our own is started."""
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "0")  # and taken away again
    read = []  # what was in the environment when Ray was told to read it
    keys = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")

    def initialize(config):
        read.append({name: os.environ[name] for name in keys if name in os.environ})

    def make(init):
        raylet = types.SimpleNamespace(Config=types.SimpleNamespace(initialize=initialize))
        ray = types.SimpleNamespace(init=init, shutdown=lambda: None, _raylet=raylet, read=read)
        ray.__spec__ = ModuleSpec("ray", None)
        ray._private = types.SimpleNamespace(services=types.SimpleNamespace(ConsolePopen=dict))
        ray.cluster_resources = ray.available_resources = lambda: {"CPU": 2.0}
        ray.get_runtime_context = lambda: types.SimpleNamespace(gcs_address="127.0.0.1:1")
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return make


def test_sigterm_stays_ours_beside_a_cluster_of_our_own(ray_that_starts):
    """Ray's own handler ends the process with status 1, and with nothing said."""
    ray_that_starts(lambda **options: signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)))
    before = signal.getsignal(signal.SIGTERM)
    with connected(None):
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Ray finds them by their group")
def test_processes_of_a_cluster_of_our_own_are_in_no_group_of_ours(ray_that_starts):
    """What ends the group would end them before what they work on is saved."""
    started = []
    ray = ray_that_starts(lambda **_: started.append(ray._private.services.ConsolePopen(env=None)))
    with connected(None):
        assert started == [{"env": None, "start_new_session": True}]
        assert ray._private.services.ConsolePopen is dict
    with connected("auto"):
        assert started[1:] == [{"env": None}]


@pytest.mark.parametrize(
    ("there", "free", "told"), [({"CPU": 4.0}, {"CPU": 0.5}, 1), ({"CPU": 4.0}, {}, 1), ({}, {}, 0)]
)
def test_a_cluster_that_others_work_on_is_said_to_be_waited_for(
    ray_that_starts, capsys, there, free, told
):
    ray = ray_that_starts(lambda **_: None)
    ray.cluster_resources, ray.available_resources = lambda: there, lambda: free
    with connected("auto"):
        assert capsys.readouterr().out.count("at work: waiting for one") == told


def test_a_start_that_is_stopped_leaves_no_part_of_ray_behind(ray_that_starts):
    """Else no other cluster could be joined by this process, such as a notebook's."""

    def stop(**_):
        raise KeyboardInterrupt

    ray, ended = ray_that_starts(stop), []
    ray.shutdown = lambda: ended.append(True)
    with pytest.raises(KeyboardInterrupt), connected(None):
        pass
    assert ended


@pytest.mark.parametrize("given", [None, "of the user"])
def test_the_key_of_a_cluster_of_our_own_does_not_outlive_it(ray_that_starts, monkeypatch, given):
    """Ray would go on asking for it in this process, and so join no other cluster."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    if given:
        monkeypatch.setenv("RAY_AUTH_TOKEN", given)
    ray = ray_that_starts(lambda **options: os.environ.update(RAY_AUTH_MODE="token"))
    with connected(None):
        assert os.environ["RAY_AUTH_TOKEN"] == (given or ray.read[0]["RAY_AUTH_TOKEN"])
    assert ray.read[-1] == ({"RAY_AUTH_TOKEN": given} if given else {})
    assert "RAY_AUTH_MODE" not in os.environ
