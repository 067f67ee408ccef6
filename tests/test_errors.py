from pathlib import Path

import pytest

from skyseg_tf.errors import (
    InputError,
    counted,
    missing_hint,
    nearest,
    not_among,
    plain_line,
    printable,
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("skylin", "skyline"),
        ("U2NETP", "u2netp"),
        ("u2-netp", "u2netp"),
        ("sky", "skyline"),
        ("zebra", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case(typed, meant):
    assert nearest(typed, ["skyline", "u2net", "u2netp"]) == meant


def test_the_message_names_all_and_the_one_that_was_meant():
    assert not_among("loss", "focl", ["ohem", "focal"]) == (
        "no loss 'focl': there are ohem, focal; did you mean focal?"
    )
    assert not_among("loss", "zzz", ["ohem", "focal"]) == "no loss 'zzz': there are ohem, focal"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("cityscpes", "cityscapes"),
        ("cityscpes/train", "cityscapes/train"),
        ("cityscapes/trian", "cityscapes/train"),
        ("cityscpes/trian", None),
        ("zebra", None),
        ("../zebra", None),
        ("s3://bucket/photos", None),
    ],
)
def test_a_path_that_is_not_there_is_compared_with_its_neighbours(
    tmp_path, monkeypatch, typed, meant
):
    (tmp_path / "cityscapes" / "train").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    told = f"did you mean {meant}?" if meant else "check the path"
    assert missing_hint(typed) == told
    if meant:
        with pytest.raises(FileNotFoundError) as error:
            Path(typed).read_bytes()
        assert plain_line(error.value).endswith(f"({typed}); {told}")


def test_one_photo_is_not_called_photos():
    assert counted(1, "photo") == "1 photo"
    assert counted(0, "photo") == "0 photos"
    assert counted(2000, "photo") == "2,000 photos"
    assert counted(2, "class", "classes") == "2 classes"


def test_text_of_one_line_that_any_terminal_takes():
    assert printable("a\nb\x1b[0m\udcff\u2028") == "a\\nb\\x1b[0m\\udcff\\u2028"
    assert printable("Straße 日本\u202f\u3000.png") == "Straße 日本\u202f\u3000.png"


def test_a_value_of_thousands_of_digits_leaves_a_line_that_one_reads():
    told = f"build.json: size was {'9' * 5000}, now 8; choose another --out"
    for line in (str(InputError(told)), plain_line(RuntimeError(told))):
        assert len(line) < 1100
        assert line.startswith("build.json: size was 9")
        assert line.endswith("9, now 8; choose another --out")
