"""One small drawn dataset for all tests."""

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

from skyseg_tf.data.drawing.dataset import write_scenes

# What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """A Cityscapes tree of 15 train and val scenes of 96x192, with clips of two frames."""
    out = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(out, 15, size=(96, 192), seed=3, sequence_frames=2, workers=1)
    return out


@pytest.fixture(scope="session")
def records(tree, tmp_path_factory) -> Path:
    """Sky records of `tree` at 32x64, storage uint8."""
    from skyseg_tf.build import BuildConfig, build

    out = tmp_path_factory.mktemp("records") / "sky"
    build(BuildConfig(out=out, source=tree, image_size=(32, 64), storage="uint8", quiet=True))
    return out


@pytest.fixture(scope="module")
def tiny():
    """Makes "skynet" a network that trains in seconds."""
    from tiny_network import NETWORKS

    from skyseg_tf.models import MODELS

    before = dict(MODELS)
    MODELS.update(NETWORKS)
    yield
    MODELS.update(before)


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Trainings end without their pictures, which take longer to draw than a tiny network to train.

    A run that is a fixture of a wider scope is made before, with them.
    """
    monkeypatch.setattr("skyseg_tf.training.result._write_plots", lambda *_: None)


@pytest.fixture
def small_scenes(monkeypatch) -> None:
    """What an export without records is compared on is drawn small."""
    for module in ("export", "photos"):
        monkeypatch.setattr(f"skyseg_tf.exporters.{module}.DRAWN_SIZE", (64, 96))


@pytest.fixture
def camvid() -> Path:
    """The real photos, where they lie beside the project."""
    path = Path(__file__).parents[2] / "shared" / "data" / "camvid_cityscapes"
    if not path.is_dir():
        pytest.skip("the CamVid tree is not here")
    return path


@pytest.fixture
def measured_memory():
    """A context that fails where the process takes more memory inside it than a limit, in bytes."""

    def read(key: str) -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split(f"{key}:")[1].split()[0])

    @contextmanager
    def measured(limit: float):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is in use
        before = read("VmRSS")
        yield
        taken = read("VmHWM") - before
        assert taken < limit, f"{taken / 1e6:.0f} MB"

    return measured


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six photos in two folders, and a file that is none."""
    from drawn_trees import write_photo

    for number in range(6):
        write_photo(tmp_path / f"photos/{number % 2}/{number}.png", number, (48, 64))
    (tmp_path / "photos/0/torn.png").write_bytes(b"torn")
    return tmp_path / "photos"


@pytest.fixture
def reaches_urls(monkeypatch):
    """Places on storages are known here, whichever packages are installed; nothing is reached."""
    upath = SimpleNamespace(UPath=lambda url: SimpleNamespace(fs=None))
    monkeypatch.setitem(sys.modules, "upath", upath)


@pytest.fixture
def ray(monkeypatch):
    """A drawn Ray with a cluster of one machine of two processors."""
    from drawn_ray import DrawnRay

    drawn = DrawnRay(2)
    monkeypatch.setitem(sys.modules, "ray", drawn)
    return drawn


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory):
    """A cluster of one node, on this machine."""
    pytest.importorskip("ray")
    from ray_cluster import PATIENCE, one_processor, told_all_ports, with_this_package

    from skyseg_tf.scale.cluster import import_ray

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (PATIENCE | {"PYTHONPATH": with_this_package()}).items():
            patch.setenv(name, value)
        import_ray()
        from ray._private import services
        from ray.cluster_utils import Cluster

        raylet = told_all_ports(services.RAYLET_EXECUTABLE, tmp_path_factory.mktemp("ray"))
        patch.setattr(services, "RAYLET_EXECUTABLE", raylet)
        cluster = Cluster(True, head_node_args={"include_dashboard": False} | one_processor())
        yield cluster
        cluster.shutdown()


@pytest.fixture
def three_nodes(ray_cluster):
    """The same with three nodes, all alive."""
    from ray_cluster import one_processor

    for _ in range(2 - len(ray_cluster.worker_nodes)):
        ray_cluster.add_node(**one_processor())
    ray_cluster.wait_for_nodes()
    return ray_cluster


@pytest.fixture(scope="session", autouse=True)
def memory_is_given_back():
    """`main` of predict tells malloc to keep what is freed, for the whole process: here for all tests.
    So does a task of a cluster.

    Those that measure memory would then measure what malloc keeps (test_memory has it in processes
    of their own).
    """
    import skyseg_tf.predict
    from skyseg_tf.scale import photos

    with pytest.MonkeyPatch.context() as patch:
        for module in (skyseg_tf.predict, photos):
            patch.setattr(module, "keep_freed_memory", lambda: None)
        yield
