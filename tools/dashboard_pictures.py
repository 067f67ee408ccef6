"""Takes the pictures of the dashboard, in headless Chromium.

python tools/dashboard_pictures.py              those of the docs
python tools/dashboard_pictures.py --all DIR    every page, wide and narrow, light and dark

Those of the docs show a training of zoo/; those of `--all` what `skyseg dashboard` shows in the
folder it is started in. Look at them after a change of the dashboard. It needs the extra `dev` and
Debian's `chromium`.
"""

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.files.aside import write_aside
from tools.starting import skyseg

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SHOWN_RUN = "camvid11_skyline_lite0"  # of zoo/: the docs' pictures must not need a training
CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = {
    "": "Inspect",
    "photo": "Your photo",
    "training": "Training",
    "runs": "Runs",
    "worst": "Worst photos",
}
PICTURES = (  # name, page, width of the window, theme, most of its height; a phone's screen is tall
    ("dashboard_inspect", "", 1280, "light", 1192),
    ("dashboard_training", "training", 1280, "dark", 860),
    ("dashboard_phone", "", 390, "light", 1050),
)
_FIGURES_FIT = """() => [...document.querySelectorAll('.js-plotly-plot')].every(
    figure => Math.abs(figure.offsetHeight - figure.parentElement.offsetHeight) < 2)"""
# The browser loads the code of some elements when it first meets one, and draws grey bars meanwhile;
# what the running script has not come to again is faded.
_ALL_THERE = """!document.querySelector('[data-testid=stSkeleton], [data-stale="true"]')"""
_START_SECONDS = 120
_DRAW_MS = 120_000


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The dashboard as a visitor meets it, started in a folder; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        **skyseg("dashboard", "--port", port, "--no-browser"),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(5 * _START_SECONDS):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


def with_run(folder: Path) -> Path:
    """A folder in which the dashboard finds one training, and the models of the package."""
    leave_out = shutil.ignore_patterns("exports")
    shutil.copytree(ROOT / "zoo" / SHOWN_RUN, folder / "runs" / SHOWN_RUN, ignore=leave_out)
    return folder


def launch(playwright):
    """The browser."""
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=_FLAGS)


def wait_until_drawn(page) -> None:
    """Until the script of a Streamlit page has ended and its figures have their size."""
    page.wait_for_selector("h1", timeout=_DRAW_MS)
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'",
        timeout=_DRAW_MS,
    )
    page.wait_for_timeout(1500)
    page.wait_for_function(_ALL_THERE, timeout=_DRAW_MS)
    page.wait_for_function(_FIGURES_FIT, timeout=_DRAW_MS)


def picture_of(page, width: int, most: int) -> bytes:
    """PNG of a drawn page from its top on, which Streamlit scrolls inside of the window."""
    whole = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(whole, most)})
    page.wait_for_timeout(1500)
    page.wait_for_function(_FIGURES_FIT, timeout=_DRAW_MS)
    page.wait_for_function(_ALL_THERE, timeout=_DRAW_MS)
    return page.screenshot()


def take(browser, address: str, width: int, theme: str, most: int) -> bytes:
    """PNG of a page in a new window."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(address, wait_until="domcontentloaded")
    wait_until_drawn(page)
    png = picture_of(page, width, most)
    context.close()
    return png


def main() -> None:
    """Takes them."""
    from playwright.sync_api import sync_playwright

    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--all", type=Path, metavar="DIR", help="every page, into this folder")
    folder = flags.parse_args().all
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [
            (
                folder / f"{title.lower().replace(' ', '_')}_{width}_{theme}",
                path,
                width,
                theme,
                9000,
            )
            for path, title in PAGES.items()
            for width in (1280, 390)
            for theme in ("light", "dark")
        ]
    else:
        wanted = [(DOCS / name, *more) for name, *more in PICTURES]
    with (
        TemporaryDirectory() as place,
        serve(Path.cwd() if folder else with_run(Path(place))) as address,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        for path, page, width, theme, most in wanted:
            png = take(browser, f"{address}/{page}", width, theme, most)
            with write_aside(path.with_suffix(".png")) as aside:
                aside.write_bytes(png)
            print(path.with_suffix(".png"))
        browser.close()


if __name__ == "__main__":
    main()
