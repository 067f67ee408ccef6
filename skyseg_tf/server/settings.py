"""Settings of `skyseg serve`."""

from dataclasses import dataclass
from typing import Annotated

from skyseg_tf.console.flags import (
    BACKENDS,
    NETWORK,
    any_model,
    choices,
    default_is,
)


@dataclass(frozen=True)
class ServeConfig:
    """Serve masks over HTTP: POST /mask, GET /health, /metrics, /docs."""

    model: Annotated[str | None, NETWORK, any_model(), default_is("the packaged one")] = None
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("the fastest")] = None
    """Runtime."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the server to the network. It asks for no password."""
    port: int = 8000
    """0 takes a free one."""
    threads: Annotated[int | None, NETWORK, default_is("one per core")] = None
    """Of the network."""
    max_megabytes: float = 32.0
    """Larger requests are refused."""
    max_megapixels: float = 50.0
    """Larger photos are refused, before they are decoded."""
    workers: int = 2
    """Photos in work at once: one in the network, the others being decoded or encoded."""
    queue: int = 8
    """Photos that may wait beside them; then the answer is 503 with Retry-After. A photo waits from
    when it is here whole."""
    upload_seconds: float = 30.0
    """Time that a client may take to send its photo; one that sends nothing for 5 s is cut off
    before."""
