"""What the fields of a command's settings say of their flags: the group in its help, and the values.

scheme: Annotated[str, DATA, choices(SCHEMES)] = "sky"
"""

import ast
import json
import re
from functools import cache
from pathlib import Path

from cyclopts import Group, Parameter

from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.errors import InputError, flag_of, missing_hint
from skyseg_tf.files.places import is_remote, place

DATA = Parameter(group=Group("data", sort_key=1))
NETWORK = Parameter(group=Group("network", sort_key=2))
TRAINING = Parameter(group=Group("training", sort_key=3))
RESULT = Parameter(group=Group("result", sort_key=4))
SEARCH = Parameter(group=Group("search", sort_key=0))
SCALE = Parameter(group=Group("several machines", sort_key=6))
STREAM = Parameter(allow_leading_hyphen=True)  # "-" is stdin or stdout

_PACKAGE = Path(__file__).parents[1]

# Registries: the file in this package, and the name in it.
BACKENDS = ("masking/backends/__init__.py", "BACKENDS")
ENCODINGS = ("labels/encodings.py", "ENCODINGS")
EXPORTS = ("exporters/formats.py", "FORMATS")
LAYOUTS = ("data/layouts.py", "LAYOUTS")
LOSSES = ("training/losses.py", "LOSSES")
MASK_FORMATS = ("masking/formats.py", "FORMATS")
MODELS = ("models/networks.py", "MODELS")
AUGMENTATIONS = ("data/augment/presets.py", "AUGMENTATIONS")
OPTIMIZERS = ("training/optimizer.py", "OPTIMIZERS")
PRECISIONS = ("training/precision.py", "PRECISIONS")
PRUNERS = ("tuning/trials.py", "PRUNERS")
SAMPLERS = ("tuning/trials.py", "SAMPLERS")
SCHEMES = ("labels/schemes.py", "SCHEMES")
STORAGES = ("data/examples.py", "STORAGES")
TRACKERS = ("training/packages.py", "TRACKERS")


@cache
def names(file: str, registry: str) -> tuple[str, ...]:
    """The names in a registry, read from its source: importing it may import TensorFlow.

    Args:
      file: in this package.
      registry: a dict or tuple that is written out there.
    """
    node = _statement(file, registry)
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    if isinstance(target, ast.Tuple):  # A, B = (...), (...)
        values = zip(target.elts, node.value.elts, strict=True)
        return next(_names(value) for one, value in values if one.id == registry)
    return _names(node.value)


@cache
def _statement(file: str, name: str) -> ast.Assign | ast.AnnAssign:
    """What sets a name of a module. The rest is not parsed: it would be half the time of a help."""
    source = (_PACKAGE / file).read_text()
    found = re.search(rf"^(\w+, )*{name}\b[^=\n]*=.*(\n([ )}}\]].*)?$)*", source, re.MULTILINE)
    if not found:
        raise LookupError(f"{file} has no {name}")
    return ast.parse(found[0]).body[0]


def _names(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.DictComp):  # over the modules of these names
        return tuple(module.id for module in node.generators[0].iter.elts)
    items = node.keys if isinstance(node, ast.Dict) else node.elts
    return tuple(item.value for item in items)


@cache
def model_suffixes() -> tuple[str, ...]:
    """Those of the model files that some backend runs, read from the sources of BACKENDS."""
    files = (f"masking/backends/{backend}.py" for backend in names(*BACKENDS))
    records = [_statement(file, "BACKEND").value for file in files]
    told = [keyword for record in records for keyword in record.keywords]
    lists = [keyword.value.elts for keyword in told if keyword.arg == "suffixes"]
    return tuple(dict.fromkeys(item.value for items in lists for item in items))


@cache
def packaged_models() -> tuple[str, ...]:
    """The names of the networks that come with the package, of its models.json."""
    index = _PACKAGE / "weights" / "models.json"
    return tuple(json.loads(index.read_text())["models"]) if index.is_file() else ()


def choices(registry: tuple[str, str], *more: str) -> Parameter:
    """The flag takes a name of a registry, or one of `more`; another value is refused."""
    return Parameter(choices=(*more, *names(*registry)))


def or_file(registry: tuple[str, str]) -> Parameter:
    """The flag takes a name of a registry, or a file that says the same."""
    return Parameter(metavar=" | ".join((*names(*registry), "FILE.json")))


def any_model() -> Parameter:
    """The flag takes whatever a backend runs."""
    files = ", ".join(model_suffixes())
    packaged = ", ".join(packaged_models())
    return Parameter(
        help=f"Run folder, model file ({files}) or name of a packaged model ({packaged})."
    )


def default_is(words: str) -> Parameter:
    """Names a default that is computed, such as "all cores"."""
    return Parameter(show_default=words)


def check_engine(engine: str, address: str | None) -> None:
    """Refuses a cluster without Ray, and its address where no cluster works.

    With such an address it would all be done here unnoticed.

    Args:
      engine, address: settings of build, train, predict and search.

    Raises:
      InputError: it says what to do.
    """
    if address is not None and engine != "ray":
        raise InputError(f"--address {address} is for --engine ray: add that, or leave it out")
    if engine == "ray":
        check_installed("--engine ray", "ray", install="'skyseg_tf[scale]'")


def check_there(**given: Path | tuple[Path, ...] | None) -> None:
    """Refuses what is not there, before a command imports TensorFlow for seconds to find that out.

    Args:
      given: flag, by its name in the settings -> its path or paths.

    Raises:
      InputError: no such file or folder, or a URL whose packages are not installed.
    """
    for name, value in given.items():
        for path in value if isinstance(value, tuple) else (value,):
            if path is None:
                continue
            there = place(path)  # a URL needs packages, and else is left to those who open it
            if not is_remote(path) and not there.expanduser().exists():
                flag = flag_of(name)
                raise InputError(f"{flag} {path}: no such file or folder; {missing_hint(path)}")
