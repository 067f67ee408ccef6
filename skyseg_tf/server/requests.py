"""Photos out of HTTP requests, and the refusals of those that hold none."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import PurePath

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from skyseg_tf.errors import InputError, not_among
from skyseg_tf.images import Photo, decode_photo, image_size

_MAX_FIELDS = 8  # of a form, beside its file
_MAX_FIELD_BYTES = 1000
_PIECE = 1 << 18  # bytes of a form that are parsed at once: some milliseconds
_MAX_NAME = 200  # characters of a photo's name, which comes back in the answer's headers
_FORM = "multipart/form-data"
# Without a word about its kind; curl --data-binary calls everything a form.
_BODIES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
PARAMETERS = ("format", "threshold", "refine")  # that stand in the address


class Refusal(Exception):
    """An answer other than 200: status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str, headers: dict | None = None):
        """Takes what `error_answer` sends."""
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers

    def answer(self) -> JSONResponse:
        """What the client gets; what is left of its body is not read, so the connection ends."""
        headers = (self.headers or {}) | {"Connection": "close"}
        return error_answer(self.status, self.code, self.message, headers)


def busy(seconds: int, too_many: str = "photos are waiting already") -> Refusal:
    """The refusal of one too many, which may come again after some seconds."""
    told = f"too many {too_many}; come again in {seconds} s"
    return Refusal(503, "busy", told, {"Retry-After": str(seconds)})


def error_answer(status: int, code: str, message: str, headers: dict | None = None) -> JSONResponse:
    """{"error": {"code": .., "message": ..}}."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def check_parameters(request: Request) -> None:
    """Refuses misspelled parameters, which would be ignored.

    Raises:
      Refusal: 422.
    """
    for name in request.query_params:
        if name not in PARAMETERS:
            raise Refusal(422, "bad_parameter", not_among("parameter", name, PARAMETERS))


async def find_photo(request: Request, body: bytes) -> tuple[str, bytes]:
    """(name, bytes) of the photo: the body itself, or the one file of a multipart form.

    Raises:
      Refusal: 400 for an empty request or a broken form, 415 for a body that is no photo, 422 for
        a form that holds what belongs into the address.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == _FORM:
        name, body = await _photo_of_form(request, body)
    elif kind in _BODIES or kind.startswith("image/"):
        name = "photo"
    else:
        raise Refusal(
            415, "not_an_image", f"'{kind}' is no photo: send image/*, or multipart/form-data"
        )
    if not body:
        empty = "its file" if kind == _FORM else "the request"
        raise Refusal(400, "no_image", f"{empty} is empty: send a photo as the body or in a form")
    return name, body


async def _photo_of_form(request: Request, body: bytes) -> tuple[str, bytes]:
    """(name, bytes) of the one file of a multipart form."""
    try:
        async with Request(request.scope, _replay(body)).form(
            max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
        ) as form:
            if ignored := sorted(form.keys() & set(PARAMETERS)):
                raise Refusal(
                    422,
                    "bad_parameter",
                    f"'{ignored[0]}' is a field of the form, where it would be ignored: put it "
                    f"into the address, as {request.url.path}?{ignored[0]}=...",
                )
            for value in form.values():
                if isinstance(value, UploadFile):
                    return _name_of(value), await value.read()
    except (MultiPartException, HTTPException) as error:
        reason = getattr(error, "message", None) or getattr(error, "detail", "")
        raise Refusal(400, "bad_form", f"not one photo in a form ({reason})") from None
    raise Refusal(400, "no_image", "the form has no file; name its field 'image'")


def _replay(body: bytes) -> Callable[[], Awaitable[dict]]:
    """Receives a body again in pieces, and lets others have their turn between them."""
    starts = iter(range(0, len(body), _PIECE))

    async def receive() -> dict:
        await asyncio.sleep(0)
        start = next(starts, None)
        if start is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": body[start : start + _PIECE], "more_body": True}

    return receive


def _name_of(upload: UploadFile) -> str:
    """The name of a file in a form, without folders; its end, with the suffix, where it is long.

    A form may choose an encoding that gives half characters, which could not be written back.
    """
    name = (upload.filename or "photo").encode(errors="replace").decode()
    return PurePath(name).name[-_MAX_NAME:] or "photo"


def read_photo(name: str, content: bytes, max_pixels: float) -> Photo:
    """Decodes a photo.

    Raises:
      Refusal: 400 for what is no photo, 413 for one of too many pixels.
    """
    try:
        height, width = image_size(content, name)
        if width * height > max_pixels:
            raise Refusal(
                413,
                "too_many_pixels",
                f"{width} x {height} pixels exceed {max_pixels / 1e6:g} megapixels; scale the photo "
                "down",
            )
        return decode_photo(content, name)
    except InputError as error:
        raise Refusal(400, "bad_image", str(error)) from None
