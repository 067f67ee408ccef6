"""What the server sends back: formats.FORMATS over HTTP."""

import re
from pathlib import Path
from urllib.parse import quote

from fastapi.responses import Response

from skyseg_tf.masking.formats import encode_prediction, output_name
from skyseg_tf.masking.prediction import Prediction

CONTENT_TYPES = {
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".npy": "application/octet-stream",
}
JSON_EXAMPLE = {"height": 1080, "width": 1920, "sky": True, "sky_share": 0.312, "confidence": 0.98}


def content_type(wanted: str) -> str:
    """The content type of a key of FORMATS."""
    return CONTENT_TYPES[output_name(wanted, Path("photo.jpg")).suffix]


def encode(wanted: str, name: str, prediction: Prediction) -> Response:
    """The answer to a photo.

    Args:
      wanted: key of FORMATS.
      name: of the photo; the answer suggests the output's name for it.
      prediction: of the photo.

    Returns:
      The response; its header X-Sky-Share tells the share of sky, 0 where there is none.
    """
    file_name, content = encode_prediction(wanted, prediction, name)
    headers = {
        "X-Sky-Share": f"{prediction.sky_share:.6f}",
        "Content-Disposition": f"inline; {_file_name(file_name)}",
    }
    return Response(content, media_type=content_type(wanted), headers=headers)


def _file_name(name: str) -> str:
    """The parameters of Content-Disposition that tell a name.

    Header lines are ASCII: any other name comes twice, as near to it as that allows for old
    clients, and encoded. Reference: RFC 6266, 4.3 and appendix D.
    """
    plain = re.sub(r'[^ -~]|["%\\]', "_", name)
    encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'filename="{plain}"{encoded}'
