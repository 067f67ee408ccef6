"""Runs the notebooks anew and stores their outputs.

    python tools/notebooks.py train.ipynb

Demo data, records and runs go into --folder, which a second notebook finds again; the notebook
itself is written when all of it has run. Leave the machine alone meanwhile: dataset_build.ipynb
measures speeds.
"""

import os
from argparse import ArgumentParser
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


def execute(notebook: nbformat.NotebookNode, folder: Path, timeout: int | None = None) -> None:
    """Runs all cells in place, by the interpreter that runs this.

    Args:
      notebook: its outputs are replaced.
      folder: where its code runs, and writes.
      timeout: of one cell, in seconds; None for none.
    """
    # Without kernel folders "python3" is this interpreter, whatever is installed beside it.
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3"}
    client.execute(cleanup_kc=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | quiet)


def main() -> None:
    """Runs the named notebooks, or all."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="default: all, in the order of a reader")
    parser.add_argument("--folder", type=Path, default=Path("build/notebooks"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    order = ("data_folder_format.ipynb", "dataset_build.ipynb", "train.ipynb")
    for name in args.names or order:
        notebook = nbformat.read(ROOT / name, as_version=4)
        language = notebook.metadata.language_info
        execute(notebook, args.folder)
        notebook.metadata.language_info = language  # without this machine's version of Python
        nbformat.write(notebook, ROOT / name)
        print(f"{name}: {(ROOT / name).stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
