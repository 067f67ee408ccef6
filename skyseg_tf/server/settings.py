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
    """Serve masks over HTTP. It needs the extra `serve`.

    Example: skyseg serve --port 8000 --max-megapixels 25

    In a browser the address shows a page that masks a photo, and /docs says what a program may ask:
    a mask by POST /mask, whether the server is well by GET /health, its counters by GET /metrics.
    """

    model: Annotated[str | None, NETWORK, any_model(), default_is("skyline, which is packaged")] = (
        None
    )
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("the fastest")] = None
    """Runtime that computes the network."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the server to the network. It asks for no password."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    threads: Annotated[int | None, NETWORK, default_is("one per core")] = None
    """CPU threads that compute the network."""
    max_megabytes: float = 32.0
    """Size of the largest request, in megabytes; larger ones are refused."""
    max_megapixels: float = 50.0
    """Size of the largest photo, in megapixels; larger ones are refused before they are decoded."""
    workers: int = 2
    """Photos worked on at once: one is in the network while the others are decoded or encoded."""
    queue: int = 8
    """Number of photos, fully received, that may wait for their turn; the next one is refused with
    status 503, and told when to come again (Retry-After)."""
    upload_seconds: float = 30.0
    """Seconds that a client may take to send its photo. A client that sends nothing for 5 s is cut
    off earlier."""
