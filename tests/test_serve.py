import io
import json
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from drawn_clips import bright_is_sky, draw_frame, make_runtime
from drawn_files import camera_exif, encode_stored, wide_gamut
from drawn_models import blue_model
from drawn_pictures import picture_bytes, zeros
from fastapi.testclient import TestClient
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.images import decode_photo
from skyseg_tf.masking.formats import FORMATS, encode_prediction
from skyseg_tf.masking.prediction import predict_image
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.serve import ServeConfig, serve
from skyseg_tf.server.answers import content_type
from skyseg_tf.server.app import make_app


def photo_bytes(kind="PNG", size=(64, 96), **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_frame(3, size)[0]).save(file, kind, **options)
    return file.getvalue()


def inflating_png() -> bytes:
    """A PNG of 16 x 16 pixels whose data inflate to 900 MB."""
    content = picture_bytes(np.zeros((16, 16, 3), np.uint8), "PNG")
    start, end = content.index(b"IDAT"), content.index(b"IEND") - 4
    chunk = b"IDAT" + zeros(900)
    checksum = struct.pack(">I", zlib.crc32(chunk))
    return (
        content[: start - 4] + struct.pack(">I", len(chunk) - 4) + chunk + checksum + content[end:]
    )


def open_picture(answer) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(answer.content)))


def error_of(answer) -> tuple[int, str, str]:
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]


def client_of(infer=bright_is_sky, **settings) -> TestClient:
    app = make_app(ServeConfig(**settings), make_runtime(infer))
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client():
    with client_of(max_megabytes=1, max_megapixels=0.1) as client:
        yield client


def test_mask_from_body_and_from_form_are_the_same(client):
    truth = draw_frame(3)[1] * 255
    url = "/mask?refine=false"
    raw = client.post(url, content=photo_bytes(), headers={"content-type": "image/png"})
    form = client.post(url, files={"image": ("a.png", photo_bytes(), "image/png")})
    bare = client.post(url, content=photo_bytes())
    curl = {"content-type": "application/x-www-form-urlencoded"}  # --data-binary
    for answer in (raw, form, bare, client.post(url, content=photo_bytes(), headers=curl)):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/png"
        assert (open_picture(answer) == truth).all()
        assert float(answer.headers["x-sky-share"]) == pytest.approx(truth.mean() / 255, abs=1e-5)


@pytest.mark.parametrize("wanted", FORMATS)
def test_every_format_has_its_content_type(client, wanted):
    answer = client.post(f"/mask?format={wanted}", content=photo_bytes(size=(70, 110)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type(wanted)
    if answer.headers["content-type"].startswith("image/"):
        assert open_picture(answer).shape[:2] == (70, 110)


def test_json_is_plain(client):
    answer = client.post("/mask?format=json", content=photo_bytes())
    facts = json.loads(answer.text)
    assert facts["sky"] is True
    assert facts["sky_share"] == pytest.approx(draw_frame(3)[1].mean(), abs=0.02)


def test_threshold_and_no_sky(client):
    nothing = client.post("/mask?threshold=1", content=photo_bytes())
    assert open_picture(nothing).max() == 0
    assert float(nothing.headers["x-sky-share"]) == 0
    everything = client.post("/mask?threshold=0", content=photo_bytes())
    assert open_picture(everything).min() == 255


def test_a_threshold_that_would_decide_nothing_is_refused(tmp_path):
    streets = load_runtime(blue_model(tmp_path / "s.onnx", scheme="cityscapes19", long_side=96))
    with TestClient(make_app(ServeConfig(), streets)) as client:
        answer = client.post("/mask?threshold=0.7&refine=false", content=photo_bytes())
        assert error_of(answer)[:2] == (422, "bad_parameter")
        assert "the most probable wins" in error_of(answer)[2]
        for fine in ("threshold=0.7", "refine=false"):
            assert client.post(f"/mask?{fine}", content=photo_bytes()).status_code == 200


def test_photos_are_turned_by_exif(client):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    content = photo_bytes("JPEG", quality=95, exif=exif)
    answer = client.post("/mask", content=content)
    assert open_picture(answer).shape == (96, 64)


@pytest.mark.parametrize("wanted", FORMATS)
def test_answers_are_those_of_predict(client, wanted, tmp_path):
    """Turned or not, with profile and camera: what the command writes for the same photo."""
    content = encode_stored(
        draw_frame(3)[0], "JPEG", 6, camera_exif(64, 96), icc_profile=wide_gamut()
    )
    photo = decode_photo(content, "x.jpg")
    assert photo.metadata.orientation == 6
    runtime = client.app.state.queue.runtime
    prediction = predict_image(runtime, photo.image, metadata=photo.metadata)
    answer = client.post(
        f"/mask?format={wanted}", files={"image": ("x.jpg", content, "image/jpeg")}
    )
    assert answer.content == encode_prediction(wanted, prediction, "x.jpg")[1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"street 1.jpg", 'filename="street 1.png"'),
        ("für.jpg".encode(), "filename=\"f_r.png\"; filename*=UTF-8''f%C3%BCr.png"),
        ("空.jpg".encode(), "filename=\"_.png\"; filename*=UTF-8''%E7%A9%BA.png"),
        (b"50%\\.jpg", "filename=\"50__.png\"; filename*=UTF-8''50%25%5C.png"),
        (b'a\\"b.jpg', "filename=\"a_b.png\"; filename*=UTF-8''a%22b.png"),
    ],
)
def test_the_answer_tells_a_name_that_every_client_reads(client, name, told):
    answer = client.post("/mask?refine=0", **form_of(name))
    assert answer.headers["content-disposition"] == f"inline; {told}"


def form_of(name: bytes, charset: str = "utf-8") -> dict:
    """A form as it goes over the line, with a photo of this name."""
    start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="' + name + b'"\r\n\r\n'
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    return {"content": start + photo_bytes() + b"\r\n--x--", "headers": {"content-type": kind}}


def test_half_characters_in_a_name_are_no_failure(client):
    answer = client.post("/mask?format=csv", **form_of(b"a+2AA-.jpg", "utf-7"))
    assert answer.status_code == 200
    assert "a?.jpg" in answer.text


@pytest.mark.parametrize(
    ("request_", "status", "code", "message"),
    [
        ({"content": b"not a photo"}, 400, "bad_image", "not a readable image"),
        ({"content": photo_bytes()[:200]}, 400, "bad_image", "damaged"),
        ({"content": b"%!PS-Adobe-3.0 EPSF-3.0\n"}, 400, "bad_image", "not a readable image"),
        ({"content": b"FUJIFILMCCD-RAW" + bytes(99)}, 400, "bad_image", "a raw photo"),
        ({"content": inflating_png()}, 400, "bad_image", "16 x 16"),
        ({"content": b""}, 400, "no_image", "empty"),
        ({"data": {"image": "text"}, "files": {}}, 400, "bad_image", "not a readable image"),
        ({"files": {"a": b"", "b": b"x"}}, 400, "bad_form", "Too many files"),
        ({"files": {"a": b""}}, 400, "no_image", "its file is empty"),
        (
            {"files": {"image": photo_bytes()}, "data": {"format": "alpha16"}},
            422,
            "bad_parameter",
            "put it into the address, as /mask?format=...",
        ),
        ({"params": {"treshold": "0.2"}}, 422, "bad_parameter", "did you mean threshold"),
        (
            {"content": b"{}", "headers": {"content-type": "application/json"}},
            415,
            "not_an_image",
            "",
        ),
        ({"content": bytes(1_000_001)}, 413, "too_large", "exceeds 1 MB"),
        ({"content": iter([bytes(600_000)] * 2)}, 413, "too_large", "exceeds 1 MB"),
        ({"content": photo_bytes(size=(400, 400))}, 413, "too_many_pixels", "400 x 400"),
        ({"params": {"format": "gif"}}, 422, "bad_parameter", "no format 'gif': there are mask"),
        ({"params": {"threshold": "2"}}, 422, "bad_parameter", "threshold"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "bad_form",
            "boundary",
        ),
    ],
)
def test_bad_requests_are_told_what_is_wrong(client, request_, status, code, message):
    got = error_of(client.post("/mask", **request_))
    assert got[:2] == (status, code)
    assert message in got[2]


def test_unknown_paths_and_methods(client):
    assert error_of(client.get("/nothing"))[:2] == (404, "not_found")
    assert error_of(client.get("/mask"))[:2] == (405, "wrong_method")


def test_a_failing_network_gives_500_without_a_trace():
    def infer(images):
        raise RuntimeError("secret")

    with client_of(infer) as client:
        answer = client.post("/mask", content=photo_bytes())
        assert error_of(answer)[:2] == (500, "internal")
        assert "secret" not in answer.text
        assert client.get("/health").json()["waiting"] == 0


def test_health_metrics_page_and_openapi(client):
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["classes"] == ["not sky", "sky"]
    before = metric(client, 'skyseg_requests_total{path="/mask",status="200"}')
    client.post("/mask", content=photo_bytes())
    client.get("/no/such/path")
    assert metric(client, 'skyseg_requests_total{path="/mask",status="200"}') == before + 1
    assert metric(client, 'skyseg_requests_total{path="other",status="404"}') >= 1
    text = client.get("/metrics").text
    counts = [int(n) for n in re.findall(r"skyseg_network_seconds_bucket\{.*\} (\d+)", text)]
    assert counts == sorted(counts)
    assert counts[-1] == metric(client, "skyseg_network_seconds_count")
    assert metric(client, "skyseg_queue_capacity") == 10
    page = client.get("/").text
    assert "{{" not in page
    assert all(f"<option>{name}</option>" in page for name in FORMATS)
    assert "src=" not in page.split("<script>")[0]  # nothing from elsewhere
    schema = client.get("/openapi.json").json()["paths"]["/mask"]["post"]
    assert {"200", "400", "413", "415", "422", "503"} <= set(schema["responses"])
    assert "multipart/form-data" in schema["requestBody"]["content"]
    assert schema["parameters"][0]["schema"]["enum"] == list(FORMATS)


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/metrics", "/openapi.json"])
def test_the_head_of_a_page_is_that_of_the_page(client, path):
    head, page = client.head(path), client.get(path)
    assert head.status_code == 200
    assert not head.content
    assert head.headers["content-type"] == page.headers["content-type"]
    assert head.headers["content-length"]


def test_a_mask_has_no_head(client):
    assert client.head("/mask").status_code == 405
    paths = client.get("/openapi.json").json()["paths"]
    assert all("head" not in calls for calls in paths.values())


def test_the_page_of_calls_says_what_openapi_says_and_loads_nothing(client):
    text = client.get("/docs").text
    schema = client.get("/openapi.json").json()
    for path, calls in schema["paths"].items():
        for method, call in calls.items():
            assert f"<h2>{method.upper()} {path}</h2>" in text
            for parameter in call.get("parameters", ()):
                assert f"<td>{parameter['name']}</td>" in text
            for status in call["responses"]:
                assert f"<td>{status}</td>" in text
    assert "too many photos are waiting already" in text  # examples of errors
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "<script" not in text


def test_metrics_come_in_the_format_that_is_asked_for_and_count_one_app(client):
    client.post("/mask", content=photo_bytes())
    plain = client.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    asked = {"accept": "application/openmetrics-text; version=1.0.0"}
    open_metrics = client.get("/metrics", headers=asked)
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")
    kinds = dict(re.findall(r"# TYPE (\w+) (\w+)", plain.text))
    assert kinds == {
        "skyseg_requests_total": "counter",
        "skyseg_request_seconds": "histogram",
        "skyseg_network_seconds": "histogram",
        "skyseg_pixels_total": "counter",
        "skyseg_queue_photos": "gauge",
        "skyseg_queue_capacity": "gauge",
        "skyseg_start_time_seconds": "gauge",
    }
    with client_of() as other:
        assert metric(other, "skyseg_pixels_total") == 0
        assert metric(client, "skyseg_pixels_total") > 0


def test_the_page_shows_a_name_as_it_is():
    runtime = make_runtime()
    runtime.name = "<script>a & b"
    with TestClient(make_app(ServeConfig(), runtime)) as client:
        assert "<b>&lt;script&gt;a &amp; b</b>" in client.get("/").text


def metric(client, name: str) -> float:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[-1])
    return 0.0


def test_a_full_queue_says_when_to_come_again():
    gate, entered = threading.Event(), threading.Semaphore(0)

    def infer(images):
        entered.release()
        gate.wait(10)
        return bright_is_sky(images)

    with client_of(infer, workers=1, queue=2) as client, ThreadPoolExecutor(3) as pool:
        first = [pool.submit(client.post, "/mask", content=photo_bytes()) for _ in range(3)]
        entered.acquire(timeout=10)
        while client.get("/health").json()["waiting"] < 3:
            time.sleep(0.01)
        refused = client.post("/mask", content=photo_bytes())
        assert error_of(refused)[:2] == (503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        gate.set()
        assert [future.result().status_code for future in first] == [200] * 3
        assert client.post("/mask", content=photo_bytes()).status_code == 200
        assert client.get("/health").json()["waiting"] == 0


@pytest.mark.parametrize("wanted", FORMATS)
def test_an_answer_takes_nothing_of_a_disk(client, wanted, monkeypatch):
    """A process remembers for ever which folders it has written into: one per answer was a leak."""
    prediction = predict_image(client.app.state.queue.runtime, draw_frame(3)[0])
    monkeypatch.setattr("skyseg_tf.masking.formats.write_aside", None)
    monkeypatch.setattr("skyseg_tf.images.writing.write_aside", None)
    monkeypatch.setattr("skyseg_tf.files.aside.write_aside", None)
    assert encode_prediction(wanted, prediction, "x.jpg")[1]


# --- the real server ---

SERVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from drawn_clips import bright_is_sky, make_runtime
from skyseg_tf.serve import main
from skyseg_tf.server import app
def infer(images):
    time.sleep(0.7)
    return bright_is_sky(images)
app.load_runtime = lambda *a, **k: make_runtime(infer)
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def server():
    command = [sys.executable, "-c", SERVER, str(Path(__file__).parent), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--upload-seconds", "1", "--max-megabytes", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    try:
        yield process, re.search(r"http://127\.0\.0\.1:\d+", line)[0]
    finally:
        process.kill()
        process.communicate()


def test_an_address_in_use_is_one_line(server):
    port = int(server[1].rsplit(":", 1)[1])
    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1, port {port}"):
        serve(ServeConfig(port=port))


def test_the_real_server_answers_and_ends_with_what_is_under_way(server):
    process, url = server
    with httpx.Client() as monitor:
        for path in ("/health", "/docs"):  # a body would be taken for the next answer
            assert monitor.head(f"{url}{path}").status_code == 200
        assert monitor.get(f"{url}/health").json()["status"] == "ok"
    with httpx.stream("POST", f"{url}/mask", content=iter_slowly()) as slow:
        assert slow.status_code == 408
    assert httpx.post(f"{url}/mask", content=bytes(1_500_000)).status_code == 413
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(httpx.post, f"{url}/mask?refine=0", content=photo_bytes(), timeout=20)
        while httpx.get(f"{url}/health").json()["waiting"] == 0:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        answer = last.result()
    assert answer.status_code == 200
    assert (open_picture(answer) == draw_frame(3)[1] * 255).all()
    process.wait(timeout=10)
    assert process.returncode in (0, -signal.SIGTERM)
    assert process.stderr.read() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def iter_slowly():
    yield photo_bytes()[:50]
    time.sleep(1.6)
    yield photo_bytes()[50:]


def test_a_photo_that_hangs_does_not_keep_the_server():
    """The first Ctrl-C waits for it, the second does not."""
    code = SERVER.replace("time.sleep(0.7)", "time.sleep(1000)")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(httpx.post, f"{url}/mask", content=photo_bytes(), timeout=60)
        while httpx.get(f"{url}/health").json()["waiting"] == 0:
            time.sleep(0.02)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
        with suppress(httpx.TransportError):
            assert lost.result().status_code == 500
    assert process.returncode == 0
