"""What reads files from strangers, with files to begin from: PARSERS.

A file here has the seeds and the readers of one kind of files. All seeds are drawn; tests/ knows how.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from fuzzing import archives, models, pictures, records
from fuzzing.mutations import blind, in_json, in_png, in_records, in_zip
from fuzzing.parser import Parser

PARSERS = {
    "png": Parser(
        "PNG of every kind", pictures.pngs, pictures.read_picture, (blind, in_png, in_png)
    ),
    "jpeg": Parser(
        "JPEG and MPO",
        pictures.of_pillow(("JPEG", {}), ("JPEG", {"progressive": True}), ("MPO", {})),
        pictures.read_picture,
    ),
    "tiff": Parser("TIFF and raw photos (DNG)", pictures.tiffs, pictures.read_picture),
    "heif": Parser("HEIC and AVIF", pictures.heifs, pictures.read_picture),
    "pictures": Parser(
        "WebP, GIF, BMP, JPEG 2000, PPM",
        pictures.of_pillow(
            ("WEBP", {"lossless": True}),
            ("WEBP", {}),
            ("GIF", {}),
            ("BMP", {}),
            ("JPEG2000", {}),
            ("PPM", {}),
        ),
        pictures.read_picture,
    ),
    "records": Parser(
        "TFRecords of all storages, with a manifest that fits",
        records.shards,
        records.read_shard,
        (blind, in_records, in_records),
    ),
    "json": Parser(
        "JSON and CSV of runs, records, schemes, scenes",
        records.jsons,
        records.read_json,
        (blind, in_json, in_json),
    ),
    "zip": Parser("datasets in zip archives", archives.zips, archives.read_zips),
    "onnx": Parser(
        "ONNX, in two runtimes", models.onnx_files, models.read_model("onnxruntime", "openvino")
    ),
    "openvino": Parser(
        "OpenVINO's .xml and .bin", models.openvino_files, models.read_model("openvino")
    ),
    "litert": Parser("LiteRT", models.litert_files, models.read_model("litert")),
    "keras": Parser(
        ".keras archives", models.keras_files, models.read_model("keras"), (blind, in_zip, in_zip)
    ),
    "weights": Parser(
        "state dicts (.safetensors, .npz), checkpoints",
        models.state_files,
        models.read_weights,
        (blind, in_zip),
    ),
    "video": Parser("MP4, MKV, AVI, MOV", archives.clips, archives.read_clip),
}
