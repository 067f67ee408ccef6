"""Of Ray a few lines, so that what is given to a cluster, and when, is tested fast."""

from importlib.machinery import ModuleSpec
from types import SimpleNamespace


class Died(Exception):
    """Ray's word for a process that is gone."""


class DrawnRay:
    """A cluster whose tasks are done one after the other, where a machine is there for them."""

    __spec__ = ModuleSpec("ray", None)
    _raylet = SimpleNamespace(Config=SimpleNamespace(initialize=lambda config: None))
    _private = SimpleNamespace(services=SimpleNamespace(ConsolePopen=dict))
    exceptions = SimpleNamespace(RayError=Died, RayTaskError=type("RayTaskError", (Died,), {}))

    def __init__(self, *machines: int):
        self.machines, self.most, self.options, self.deadly = machines, 0, {}, ()

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": count}} for count in self.machines]

    def wait(self, tasks, num_returns, timeout=None):
        self.most = max(self.most, len(tasks))
        if self.machines:
            return tasks[:1], tasks[1:]
        assert timeout, "waits for ever, without a look for machines that come"
        self.machines = (4,)
        return [], tasks

    def get(self, task):
        if task in self.deadly:
            raise Died("Task was killed:\n  out of memory")
        return task

    def cancel(self, task):
        pass

    def shutdown(self):
        pass

    def init(self, **options):
        self.options = options
        raise RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 2.50\n")
