"""Command: serve masks over HTTP.

skyseg serve --port 8000
curl -F image=@photo.jpg 'localhost:8000/mask?format=mask' -o mask.png
"""

import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from skyseg_tf import __version__
from skyseg_tf.errors import InputError, flag_of, not_among
from skyseg_tf.files import MAX_FILE_BYTES
from skyseg_tf.files.templates import render_html
from skyseg_tf.masking.formats import FORMATS
from skyseg_tf.masking.prediction import check_threshold
from skyseg_tf.masking.runtime import Runtime, load_runtime
from skyseg_tf.server.answers import JSON_EXAMPLE, content_type
from skyseg_tf.server.connections import PunctualConnection
from skyseg_tf.server.metrics import ServeMetrics
from skyseg_tf.server.photo_queue import PhotoQueue
from skyseg_tf.server.port import listen
from skyseg_tf.server.requests import Refusal, check_parameters, error_answer
from skyseg_tf.server.settings import ServeConfig

_PAGE, _DOCS = (Path(__file__).with_name(name) for name in ("page.html", "docs.html"))
_PATHS = ("/", "/mask", "/health", "/metrics", "/openapi.json", "/docs")
_STOP_SECONDS = 30  # for the photos under way, after Ctrl-C or SIGTERM
_BYTES = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": ["image"], "properties": {"image": _BYTES}}
_REQUEST_BODY = {
    "required": True,
    "content": {"multipart/form-data": {"schema": _FORM}, "image/*": {"schema": _BYTES}},
}


def make_app(config: ServeConfig, runtime: Runtime) -> FastAPI:
    """The application, for `uvicorn` or any other ASGI server.

    Args:
      config: limits; host and port are the server's own affair.
      runtime: of load_runtime.

    Returns:
      The app; its queue and counters are `app.state.queue`.
    """
    queue = PhotoQueue(config, runtime)

    @asynccontextmanager
    async def life(app: FastAPI):
        yield
        queue.close()

    app = FastAPI(
        title="skyseg",
        version=__version__,
        summary="Sky masks over HTTP",
        description=f"Model {runtime.name} in {runtime.backend}; classes: "
        f"{', '.join(runtime.class_names)}. Every error is a JSON object: "
        '`{"error": {"code": "bad_image", "message": "what is wrong"}}`.',
        lifespan=life,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.queue = queue
    app.add_middleware(_Counting, metrics=queue.metrics)
    _add_errors(app)
    _add_mask(app, queue)
    _add_pages(app, queue)
    return app


class _Counting:
    """Counts answers; paths that are none of ours go under one name, so that labels stay few."""

    def __init__(self, app: Callable, metrics: ServeMetrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, path = time.perf_counter(), scope["path"] if scope["path"] in _PATHS else "other"

        async def counted(message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.count_answer(path, message["status"], time.perf_counter() - start)
            await send(message)

        await self.app(scope, receive, counted)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal):
        return error.answer()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException):
        message = f"{request.method} {request.url.path}: {error.detail}"
        code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "http_error")
        return error_answer(error.status_code, code, message, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError):
        first = error.errors()[0]
        return error_answer(422, "bad_parameter", f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception):
        return error_answer(500, "internal", f"the server failed ({type(error).__name__})")


def _add_mask(app: FastAPI, queue: PhotoQueue) -> None:
    runtime = queue.runtime
    kinds = "; ".join(f"{name}: {kind.about}" for name, kind in FORMATS.items())
    names = {"enum": list(FORMATS)}

    @app.post(
        "/mask",
        summary="The mask of a photo",
        response_class=Response,
        responses=_responses(),
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    async def mask(
        request: Request,
        wanted: str = Query("mask", alias="format", description=kinds, json_schema_extra=names),
        threshold: float | None = Query(
            None, ge=0, le=1, description="probability from which a pixel is sky"
        ),
        refine: bool = Query(True, description="let edges follow the photo, down to wires"),
    ) -> Response:
        """Send the photo as the request's body, or as the one file of a form.

        curl -F image=@photo.jpg 'ADDRESS/mask?format=mask' -o mask.png
        """
        # First of all: a refusal while the photo is still on its way would be lost, with its
        # connection, to a client that sends all of it before it reads.
        body = await queue.uploads.read(request)
        check_parameters(request)
        if wanted not in FORMATS:
            raise Refusal(422, "bad_parameter", not_among("format", wanted, FORMATS))
        if FORMATS[wanted].needs_sky and runtime.sky_channel is None:
            raise Refusal(422, "no_sky_class", f"{runtime.name} has no class 'sky'")
        try:
            check_threshold(runtime, threshold, by_sky=refine)
        except InputError as error:
            raise Refusal(422, "bad_parameter", str(error)) from None
        return await queue.answer(request, body, wanted, threshold=threshold, refined=refine)


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _responses() -> dict:
    def error(code: str, message: str) -> dict:
        example = {"error": {"code": code, "message": message}}
        return {"description": code, "content": {"application/json": {"example": example}}}

    kinds = sorted({content_type(name) for name in FORMATS})
    content = {kind: {"schema": _BYTES} for kind in kinds}
    content["application/json"] = {"example": JSON_EXAMPLE}
    return {
        200: {"description": "the mask", "content": content},
        400: error("bad_image", "photo.jpg: not a readable image; download or export it again"),
        413: error("too_large", "the request exceeds 32 MB; send a smaller photo"),
        415: error("not_an_image", "'text/html' is no photo: send image/* or multipart/form-data"),
        422: error("bad_parameter", "no format 'gif': there are mask, ..."),
        408: error("too_slow", "the photo took over 30 s to arrive; send it again"),
        503: error("busy", "too many photos are waiting already; come again in 2 s"),
    }


def _add_pages(app: FastAPI, queue: PhotoQueue) -> None:
    """GET, and for uptime monitors and link checkers HEAD, which FastAPI does not add by itself."""
    runtime = queue.runtime

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether the server works, and with what")
    async def health() -> dict:
        return {
            "status": "ok",
            "version": __version__,
            "model": runtime.name,
            "backend": runtime.backend,
            "classes": list(runtime.class_names),
            "waiting": queue.waiting,
            "capacity": queue.capacity,
            "seconds_up": round(time.time() - queue.metrics.started, 1),
        }

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        text, content_type = queue.metrics.encode(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    @app.head("/", response_class=HTMLResponse, include_in_schema=False)
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(request: Request) -> str:
        return render_html(_PAGE, runtime=runtime, formats=FORMATS, url=_address(request))

    @app.head("/docs", response_class=HTMLResponse, include_in_schema=False)
    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs(request: Request) -> str:
        return render_html(_DOCS, schema=app.openapi(), url=_address(request))


def serve(config: ServeConfig) -> None:
    """Serves until Ctrl-C or SIGTERM; the photos under way are still answered.

    Raises:
      InputError: no such model, an address that is taken, or limits below 1.
    """
    for name in ("workers", "threads", "max_megabytes", "max_megapixels", "upload_seconds"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise InputError(f"{flag_of(name)} is {value}: give more than 0")
    if config.max_megabytes * 1e6 > MAX_FILE_BYTES:
        raise InputError(
            f"--max-megabytes is {config.max_megabytes:g}: give at most {MAX_FILE_BYTES / 1e6:g}; larger "
            "photos are read nowhere"
        )
    if config.queue < 0:
        raise InputError(f"--queue is {config.queue}: give 0 or more")
    listener = listen(config.host, config.port)
    runtime = load_runtime(config.model, config.backend, threads=config.threads)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"skyseg: {runtime.name} in {runtime.backend} on http://{shown}:{port}", flush=True)
    if not host.startswith("127.") and host != "::1":
        print("skyseg: open to the network, without a password", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(config, runtime),
            http=PunctualConnection,
            ws="none",
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn raises it again once all is answered
    finally:
        listener.close()
