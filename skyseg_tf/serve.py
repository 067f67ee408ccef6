"""skyseg serve: masks over HTTP.

skyseg serve --port 8000
curl -F image=@photo.jpg 'localhost:8000/mask?format=mask' -o mask.png
"""

from skyseg_tf.console.cli import leave, run_command
from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.server.settings import ServeConfig

# Without the third, FastAPI starts and refuses each photo that a form sends.
_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(config: ServeConfig) -> None:
    """Serves until Ctrl-C or SIGTERM; the photos under way are still answered.

    Args:
      config: see ServeConfig.

    Raises:
      InputError: no such model, an address that is taken, limits below 1, or a package is missing.
    """
    check_installed("the server", *_PACKAGES, install="'skyseg_tf[serve]'")
    from skyseg_tf.server.app import serve

    serve(config)


def _serve_and_leave(config: ServeConfig) -> None:
    serve(config)
    leave(0)  # a photo that hangs has been waited for


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.serve") -> None:
    """Entry point of the command."""
    run_command(_serve_and_leave, ServeConfig, argv, prog)


if __name__ == "__main__":
    main()
