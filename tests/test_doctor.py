import json
from importlib import metadata

import pytest
from drawn_models import blue_model

from skyseg_tf import doctor
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.masking import runtime
from skyseg_tf.runs import packaged


def test_it_tells_what_is_there_and_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(packaged, "WEIGHTS", tmp_path)
    (tmp_path / "a").mkdir()
    path = blue_model(tmp_path / "a" / "m.onnx")
    models = {"a": {"files": {"m.onnx": sha256_of(path)}}}
    (tmp_path / "models.json").write_text(json.dumps({"default": "a", "models": models}))
    assert doctor.doctor(doctor.DoctorConfig(json=True)) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backends"]["onnxruntime"][0].isdigit()
    assert facts["box"] == {"a": "ok"}
    assert facts["machine"]["cores"] >= 1

    real = metadata.version

    def version(name):
        if name in ("av", "openvino"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(runtime, "installed", lambda name: name != "openvino")
    assert doctor.examine()["default_backend"] == "onnxruntime"
    path.write_bytes(b"altered")
    assert doctor.doctor(doctor.DoctorConfig()) == 1
    page = capsys.readouterr().out
    assert "missing: pip install openvino" in page
    assert 'pip install "skyseg_tf[video]"' in page
    assert "damaged or altered" in page
    assert page.count("(default)") == 1
    assert "for a few photos" not in page  # what is best for many is here best for few
    monkeypatch.setattr(runtime, "installed", lambda name: name != "onnxruntime")
    facts = doctor.examine()
    assert (facts["default_backend"], facts["quick_backend"]) == ("openvino", "litert")
    lines = {line.split()[1]: line for line in doctor.page(facts).splitlines()}
    assert "(default)" in lines["openvino"]
    assert "(for a few photos)" in lines["litert"]
    monkeypatch.setattr(runtime, "installed", lambda name: False)
    assert doctor.examine()["default_backend"] is None


def test_a_package_that_is_not_installed(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    with pytest.raises(InputError, match=r"skyseg_tf itself is not installed: pip install \."):
        doctor.missing_of("raw")


def test_an_extra_lacks_what_is_absent_or_too_old_on_this_system(monkeypatch):
    there = {"old": "1.9", "new": "2.0.dev1", "Odd.Name": "3"}
    wanted = [
        "tensorflow>=2", 'old>=2,<3; extra == "raw"', 'new>=1.5; extra == "raw"',
        'absent[a,b]~=1.0; extra == "raw"', 'Odd.Name; extra == "raw"',
        'elsewhere; sys_platform == "win32" and extra == "raw"', 'other; extra == "video"',
    ]  # fmt: skip

    def version(name):
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(metadata, "version", version)
    assert doctor.missing_of("raw") == ["old<3,>=2", "absent~=1.0"]
