"""Photos out of HTTP requests, and the refusals of those that hold none."""

import asyncio

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from skyseg_tf.errors import InputError
from skyseg_tf.images import Photo, decode_photo, image_size


class Refusal(Exception):
    """An answer other than 200: status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str, headers: dict | None = None):
        """Takes what `error_answer` sends."""
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


def error_answer(status: int, code: str, message: str, headers: dict | None = None) -> JSONResponse:
    """{"error": {"code": .., "message": ..}}."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The request's bytes.

    A body that is too large is read to its end and dropped, as far as four times the limit: a
    connection closed upon bytes on their way is reset, and takes the answer with it.

    Raises:
      Refusal: 413 above the limit, announced or sent; 408 when they take too long.
    """
    too_large = Refusal(
        413, "too_large", f"the request exceeds {limit / 1e6:g} MB; send a smaller photo"
    )
    header = request.headers.get("content-length", "0")
    announced = int(header) if header.isdigit() else 0
    if announced > 4 * limit:
        raise too_large
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > 4 * limit:
                    break
                if size > limit:
                    body.clear()
                else:
                    body += chunk
    except TimeoutError:
        if max(announced, size) > limit:
            raise too_large from None
        raise Refusal(408, "too_slow", f"the photo took over {seconds:g} s to arrive") from None
    if size > limit:
        raise too_large
    return bytes(body)


async def find_photo(request: Request, body: bytes) -> tuple[str, bytes]:
    """(name, bytes) of the photo: the body itself, or the one file of a multipart form.

    Raises:
      Refusal: 400 for an empty request or a broken form, 415 for a body that is no photo.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":

        async def replay() -> dict:
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            async with Request(request.scope, replay).form(
                max_files=1, max_fields=8, max_part_size=len(body) + 1
            ) as form:
                for value in form.values():
                    if isinstance(value, UploadFile):
                        name, body = value.filename or "photo", await value.read()
                        break
                else:
                    raise Refusal(400, "no_image", "the form has no file; name its field 'image'")
        except (MultiPartException, HTTPException) as error:
            reason = getattr(error, "message", None) or getattr(error, "detail", "")
            raise Refusal(400, "bad_form", f"not one photo in a form ({reason})") from None
    elif kind in ("", "application/octet-stream", "application/x-www-form-urlencoded"):
        name = "photo"  # curl --data-binary calls everything a form
    elif kind.startswith("image/"):
        name = "photo"
    else:
        raise Refusal(
            415, "not_an_image", f"'{kind}' is no photo: send image/*, or multipart/form-data"
        )
    if not body:
        raise Refusal(
            400, "no_image", "the request is empty: send a photo as its body or in a form"
        )
    return name, body


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
