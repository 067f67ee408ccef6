"""Command: look at models, photos, trainings and runs in the browser.

    skyseg dashboard
    streamlit run skyseg_tf/dashboard.py

The same file is the command and Streamlit's script. `.streamlit/config.toml` beside it holds the
safe settings, for both ways.
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyseg_tf.console.cli import parse_flags, run_command
from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.console.flags import default_is
from skyseg_tf.dashboard_pages.folders import Folders
from skyseg_tf.errors import InputError
from skyseg_tf.server.port import listen

_OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
_ALL_ADDRESSES = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class DashboardConfig:
    """Look at models, photos, trainings and runs in the browser. It needs the extra `dashboard`.

    Example: skyseg dashboard --runs runs --data ~/photos
    """

    port: int = 8501
    """Port to listen on; 0 takes a free one."""
    host: str = "localhost"
    """Address to listen on; 0.0.0.0 opens it to the network, without a password."""
    allowed_hosts: Annotated[tuple[str, ...], default_is("localhost and --host")] = ()
    """More host names under which the dashboard may be opened, such as sky.example.org. Requests
    under other names are refused, because another website may have sent the browser here. With
    --host 0.0.0.0, and no names given, all are allowed."""
    browser: bool = True
    """Open it in the browser."""
    folders: Annotated[Folders, Parameter(name="*")] = field(default_factory=Folders)


def streamlit_arguments(config: DashboardConfig) -> list[str]:
    """What `streamlit` is started with; all that is not here stands in .streamlit/config.toml.

    Args:
      config: see DashboardConfig.
    """
    folders = config.folders
    hosts = [word for host in allowed_hosts(config) for word in ("--server.allowedHosts", host)]
    return [
        "run",
        str(Path(__file__).resolve()),
        "--server.address",
        config.host,
        "--server.port",
        str(config.port),
        *hosts,
        "--server.headless",
        str(not config.browser).lower(),
        "--",
        "--runs",
        str(folders.runs),
        "--models",
        str(folders.models),
        "--data",
        str(folders.data),
    ]


def allowed_hosts(config: DashboardConfig) -> list[str]:
    """The names in an address by which a browser may come in.

    A page of somebody else can let its own name point to 127.0.0.1 and read from there (DNS
    rebinding), but it cannot change that the browser asks for that name.

    Args:
      config: see DashboardConfig.

    Returns:
      Names without ports; "*" where everybody in the network is let in and the names by which they
      know this machine are not told.
    """
    if config.host in _ALL_ADDRESSES:
        return [*_OWN_HOSTS, *config.allowed_hosts] if config.allowed_hosts else ["*"]
    return list(dict.fromkeys((*_OWN_HOSTS, config.host, *config.allowed_hosts)))


def dashboard(config: DashboardConfig) -> None:
    """Serves until Ctrl-C.

    Raises:
      InputError: Streamlit is missing, a folder is a file, or the address cannot be had.
    """
    check_installed("the dashboard", "streamlit", "plotly", install="'skyseg_tf[dashboard]'")
    for flag in ("runs", "models", "data"):
        if (given := getattr(config.folders, flag)).is_file():
            raise InputError(f"--{flag} {given}: is a file; give a folder")
    port = _free_port(config.host, config.port)
    from streamlit import net_util
    from streamlit.web import cli

    # Of a server that is open to the network Streamlit asks a service for the address.
    net_util.get_external_ip = lambda: None
    if config.host not in _OWN_HOSTS:
        print("skyseg: open to the network, without a password", flush=True)
    cli.main(streamlit_arguments(replace(config, port=port)), standalone_mode=False)


def _free_port(host: str, port: int) -> int:
    """The port, free a moment ago: Streamlit's own words about one that is not are no help."""
    with listen(host, port) as listener:
        return listener.getsockname()[1]


def show() -> None:
    """Streamlit's script: the navigation, and the page that was asked for."""
    import streamlit as st

    from skyseg_tf.dashboard_pages import figures, session

    st.set_page_config("skyseg", figures.page_icon(), layout="wide")
    if (
        Path(sys.argv[0]).resolve() == Path(__file__).resolve()
        and "folders" not in st.session_state
    ):
        st.session_state["folders"] = parse_flags(Folders, None, "dashboard")
    pages = st.session_state["pages"] = _pages()
    page = st.navigation(list(pages.values()), position="hidden")
    # Links of the page's own: Streamlit's navigation hides behind an arrow on a phone.
    with st.container(horizontal=True, gap="small", key="pages"):
        for one in pages.values():
            st.page_link(one, width="content")
    session.limit_pictures()
    with session.explained():
        page.run()


def _pages() -> dict:
    """The pages, of which the first opens."""
    import streamlit as st

    from skyseg_tf.dashboard_pages import (
        all_runs,
        inspect_photo,
        training,
        worst_photos,
        your_photo,
    )

    return {
        "inspect": st.Page(
            inspect_photo.show, title="Inspect", icon=":material/visibility:", default=True
        ),
        "photo": st.Page(
            your_photo.show, title="Your photo", icon=":material/add_a_photo:", url_path="photo"
        ),
        "training": st.Page(
            training.show, title="Training", icon=":material/show_chart:", url_path="training"
        ),
        "runs": st.Page(all_runs.show, title="Runs", icon=":material/table:", url_path="runs"),
        "worst": st.Page(
            worst_photos.show,
            title="Worst photos",
            icon=":material/sentiment_dissatisfied:",
            url_path="worst",
        ),
    }


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.dashboard") -> None:
    """Parses flags and serves."""
    run_command(dashboard, DashboardConfig, argv, prog)


def _inside_streamlit() -> bool:
    if "streamlit" not in sys.modules:
        return False
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    return get_script_run_ctx(suppress_warning=True) is not None


if __name__ == "__main__":
    if _inside_streamlit():
        show()
    else:
        main()
