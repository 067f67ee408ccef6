"""The Ray cluster that a command works on: one that runs, or one started for the command alone."""

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, TypeVar

from skyseg_tf.console.flags import check_engine
from skyseg_tf.errors import InputError, in_one_line
from skyseg_tf.files.places import is_storage_error
from skyseg_tf.runs.stopping import keeping_sigterm
from skyseg_tf.scale.head import call_head, watching_head
from skyseg_tf.scale.sender import Sender, run_as

RETRIES = 5  # of a task whose machine or process died
_MOST_LOST = 5  # tasks in a row that were given up; more of them would be, too
_LAST_WAIT = 10.0  # seconds for tasks that were told to end
_LOOK = 30.0  # seconds between looks for machines that have come, while tasks are at work
_SHORT = 24  # bytes: a socket's name has at most 103 (macOS), of which Ray's parts take the rest
# What Ray and pickle say of what is not there where it was sent to.
_UNKNOWN = ("failed to import on the worker", "Can't get attribute", "No module named 'skyseg_tf")
AGAIN = "give them more memory or machines and run the same command again"
Key = TypeVar("Key")


@dataclass(frozen=True)
class Lost:
    """What there is of a task that was given up.

    Attributes:
      last: what its last process died of, in Ray's words.
    """

    last: str

    def __str__(self) -> str:
        """In words."""
        return f"its process died {RETRIES + 1} times, or its machines are gone ({self.last})"


def import_ray():
    """Ray, which reports to nobody.

    Raises:
      InputError: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Else Ray warns of what it will do about the GPUs of tasks that ask for none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Else a task that takes more memory than there is is begun anew for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
    check_engine("ray", None)
    import ray

    return ray


@contextmanager
def connected(address: str | None, *, shows_output: bool = False) -> Iterator[None]:
    """Inside, this process may give tasks to a Ray cluster.

    Args:
      address: of one that runs, or "auto" for the one that this machine is part of; None: one is
        started on this machine and ends with the block, its files with it.
      shows_output: what tasks print is printed here.

    Raises:
      InputError: Ray is not installed, no such cluster, or none can be started.
    """
    ray = import_ray()
    if address is not None:
        _check_answers(address)
    options = {"log_to_driver": shows_output, "logging_level": "ERROR"}
    with _joined(ray, address, options) if address else _of_its_own(ray, options):
        yield


@contextmanager
def _of_its_own(ray, options: dict[str, Any]) -> Iterator[None]:
    """A cluster of this machine, started for the block."""
    with (
        TemporaryDirectory(prefix="ray-", dir=_short(), ignore_cleanup_errors=True) as folder,
        _key_of_its_own(ray),
    ):
        options |= {"address": "local", "include_dashboard": False, "_temp_dir": folder}
        try:
            _begin(ray, options, None)
            yield
        finally:
            ray.shutdown()


@contextmanager
def _joined(ray, address: str, options: dict[str, Any]) -> Iterator[None]:
    """One that runs."""
    with ExitStack() as stack:
        stack.callback(ray.shutdown)
        _begin(ray, options | {"address": address}, address)
        if not address.startswith("ray://"):  # that knows itself when it is cut off
            stack.enter_context(watching_head(ray.get_runtime_context().gcs_address))
            stack.callback(ray.shutdown)  # watched as well; the one above has nothing to do then
        _tell_if_full(ray)
        yield


def _begin(ray, options: dict[str, Any], address: str | None) -> None:
    apart = _apart_from_our_group(ray) if address is None else nullcontext()
    try:
        with keeping_sigterm(), apart:  # Ray's handler of it ends with status 1
            ray.init(**options)
    except Exception as error:  # Ray's own start fails with a bare one
        raise InputError(_why_not(address, error)) from None


def _tell_if_full(ray) -> None:
    """Others may be at work there, and nothing would be heard of the tasks that wait for them."""
    if ray.cluster_resources().get("CPU", 0) >= 1 > ray.available_resources().get("CPU", 0):
        print("all processors of the cluster are at work: waiting for one", flush=True)


@contextmanager
def _apart_from_our_group(ray) -> Iterator[None]:
    """Inside, Ray's processes begin sessions of their own.

    `timeout`, a shell and a terminal that is closed send SIGTERM or SIGHUP to all processes of a
    group: Ray's would end while this one still has them save what they have. Where the kernel does
    not end them with this process, they stay in its group, by which Ray finds them.
    """
    started = ray._private.services.ConsolePopen
    if sys.platform.startswith("linux"):
        ray._private.services.ConsolePopen = partial(started, start_new_session=True)
    try:
        yield
    finally:
        ray._private.services.ConsolePopen = started


@contextmanager
def _key_of_its_own(ray) -> Iterator[None]:
    """Inside, a cluster can be started, for which Ray asks for a key; then all is as it was.

    Ray would leave a key in the home folder, and this process asking for it: the actors of the next
    cluster that it joins, which asks for none or for another, would die at once.
    """
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _read_key_anew(ray)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _read_key_anew(ray)


def _read_key_anew(ray) -> None:
    """Has Ray read from the environment what it keeps in memory: whether it asks, and the key."""
    ray._raylet.Config.initialize("")
    if keys := getattr(ray._raylet, "AuthenticationTokenLoader", None):  # Ray 2.52 and newer
        keys.instance().reset_cache()


def _short() -> str | None:
    """The folder for temporary ones, where sockets in it can have a name; None: the usual one."""
    is_short = len(os.fsencode(gettempdir())) <= _SHORT
    return None if is_short or not os.path.isdir("/tmp") else "/tmp"


def _check_answers(address: str) -> None:
    """Refuses an address where nobody is: Ray would try it for minutes, and start one for "local"."""
    if address == "auto" or address.startswith("ray://"):
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise InputError(f"--address {address}: must be HOST:PORT of a Ray cluster, or auto")
    try:
        call_head(address)
    except (OSError, OverflowError) as error:
        raise InputError(_why_not(address, error)) from None


def _why_not(address: str | None, error: Exception) -> str:
    line = in_one_line(error)
    if address is None:
        return (
            f"--engine ray: Ray does not start on this machine ({line}); free some memory or time"
        )
    if "mismatch" in line:  # of Ray's version, or Python's
        return f"--address {address}: another Ray or Python runs there ({line}); install the same"
    return (
        f"--address {address}: no Ray cluster answers there ({line}); start one by "
        "`ray start --head`, or leave --address out"
    )


def places(cpus: int, gpus: int = 0) -> int:
    """How many tasks of so many processors and GPUs the cluster has room for at a time; 0 for none.

    There may be none for a while, where machines die and others come.
    """
    wanted = {kind: count for kind, count in (("CPU", cpus), ("GPU", gpus)) if count}
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    return sum(
        int(min(node.get(kind, 0) // count for kind, count in wanted.items())) for node in nodes
    )


def first_places(cpus: int, gpus: int = 0) -> int:
    """`places` before work begins, which a cluster that has none would wait for in vain.

    Raises:
      InputError: there are none.
    """
    if found := places(cpus, gpus):
        return found
    raise InputError(
        f"no machine of the Ray cluster has {cpus} processors and {gpus} GPUs: ask for fewer"
    )


def task_of(function: Callable, cpus: int, gpus: int = 0) -> Callable[..., Any]:
    """What starts a function as a task of the cluster, and again where its process died.

    The task works in the folder of this process, so that relative paths are the same there.

    Args:
      function: of a module, for it is sent by its name.
      cpus, gpus: that it takes.

    Returns:
      The function's arguments -> the task's reference.
    """
    task = import_ray().remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(run_as)
    return partial(task.remote, Sender.here(), function)


def run_bounded(
    start: Callable[[Key, Any], Any], work: Iterable[tuple[Key, Any]], limit: Callable[[], int]
) -> Iterator[tuple[Key, Any]]:
    """Has work done by tasks of which few wait at a time, however much there is.

    Args:
      start: (key, item) -> the task's reference.
      work: keys with their items, taken as they can be started.
      limit: how many may be under way, at least one is; asked for again and again, as machines come
        and go.

    Yields:
      (key, result), in the order in which they are done; Lost is the result of a task whose process
      died again and again.

    Raises:
      InputError: of a task; or several tasks in a row were Lost, and none was done between.
      OSError: of a task.
    """
    ray, waiting, told, lost = import_ray(), {}, False, 0
    work = iter(work)
    try:
        while True:
            idle = (room := limit()) == 0 and bool(waiting)
            if idle and not told:
                print("no machine of the cluster has room: waiting for one", flush=True)
            told = idle
            while len(waiting) < max(1, room) and (one := next(work, None)) is not None:
                waiting[start(*one)] = one[0]
            if not waiting:
                return
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=_LOOK)
            for task in done:
                key, result = waiting.pop(task), _result(ray, task)
                lost = lost + 1 if isinstance(result, Lost) else 0
                if lost == _MOST_LOST:
                    raise InputError(f"{key}: {result}, like {lost - 1} others before; {AGAIN}")
                yield key, result
    finally:
        _cancel(ray, list(waiting))


def _result(ray, task) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = cause_of(error)
        if isinstance(cause, (InputError, OSError)) or is_storage_error(cause):
            raise cause from None
        raise
    except ray.exceptions.RayError as error:
        return Lost(in_one_line(error))


def cause_of(error: Exception) -> Exception:
    """The error of a task that Ray tells of; an InputError where it was sent what it does not know."""
    said = str(error)
    if any(words in said for words in _UNKNOWN):
        line = said.strip().splitlines()[-1][:200]
        return InputError(
            f"a machine of the cluster has another version of skyseg_tf, or none ({line}); install "
            "the same on all machines"
        )
    return error.cause or error


def _cancel(ray, tasks: list) -> None:
    """Ends tasks and waits for them, so that they tidy up before the cluster is left."""
    for task in tasks:
        ray.cancel(task)
    if tasks:
        ray.wait(tasks, num_returns=len(tasks), timeout=_LAST_WAIT)
