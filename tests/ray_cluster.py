"""A Ray cluster on this machine, of which a node can die."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent
# Limits to Ray's starts, which a busy machine takes longer for; its workers would wait for others.
PATIENCE = {
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_worker_niceness": "0",
    "RAY_worker_register_timeout_seconds": "600",
}


def with_this_package() -> str:
    """A PYTHONPATH by which Ray's processes find what is tested."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(filter(None, [str(TESTS.parent), str(TESTS), *given]))


def told_all_ports(raylet: str, folder: Path) -> str:
    """A raylet that waits for no port of an agent: Ray 2.60 does not tell it of one that is named."""
    told = folder / "raylet"
    told.write_text(f'#!/bin/sh\nexec "{raylet}" --dashboard_agent_listen_port=1 "$@"\n')
    told.chmod(0o755)
    return str(told)


def named_ports() -> dict:
    """Of a node's agents: Ray waits but 15 s for those that it is not told of."""
    agents = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    free = [socket.create_server(("127.0.0.1", 0)) for _ in agents]
    ports = {f"{agent}_port": one.getsockname()[1] for agent, one in zip(agents, free, strict=True)}
    for one in free:
        one.close()
    return ports


def one_processor() -> dict:
    """What a node is made of."""
    return {"num_cpus": 1} | named_ports()


def start_patiently(patch, folder: Path) -> None:
    """Has commands start Ray of their own with this package, on a machine that may be busy."""
    for name, value in (PATIENCE | {"PYTHONPATH": with_this_package()}).items():
        patch.setenv(name, value)
    from skyseg_tf.scale.cluster import import_ray

    import_ray()
    from ray._private import parameter, services

    given = parameter.RayParams
    patch.setattr(parameter, "RayParams", lambda **params: given(**params | named_ports()))
    raylet = told_all_ports(services.RAYLET_EXECUTABLE, folder)
    patch.setattr(services, "RAYLET_EXECUTABLE", raylet)


@contextmanager
def a_node_dies(cluster, when, afterwards=lambda: None):
    """Inside, a node is killed as soon as `when(its id)` says so; then `afterwards` is called.

    The head lives on.
    """
    killed = threading.Event()
    nodes = sorted(cluster.worker_nodes, key=str)

    def kill():
        while not (doomed := [node for node in nodes if when(node.node_id)]):
            time.sleep(0.01)
        cluster.remove_node(doomed[0], allow_graceful=False)
        afterwards()
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    yield
    assert killed.wait(10)
