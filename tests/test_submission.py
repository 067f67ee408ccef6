import numpy as np
import pytest
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.labels import CITYSCAPES_LABELS, LABEL_ID, SCHEMES
from skyseg_tf.scoring.submission import check_submission, write_submission

NAME = "bad-honnef_000000_000019"


def test_label_ids_not_train_ids():
    table = SCHEMES["cityscapes19"].label_ids
    for label in CITYSCAPES_LABELS:
        if 0 <= label.train_id < 19:
            assert table[label.train_id] == label.id
    sky = SCHEMES["sky"].label_ids
    assert sky[:2].tolist() == [0, LABEL_ID["sky"]]  # "not sky" claims no label


def test_file_holds_the_ids(tmp_path):
    pred = np.random.default_rng(0).integers(0, 19, (6, 9)).astype(np.uint8)
    path = write_submission(tmp_path, NAME, pred, SCHEMES["cityscapes19"])
    stored = np.asarray(Image.open(path))
    assert stored.dtype == np.uint8
    assert stored.shape == (6, 9)
    assert np.array_equal(stored, SCHEMES["cityscapes19"].label_ids[pred])


def test_what_the_evaluator_would_stumble_over_is_refused(tmp_path):
    check_submission(tmp_path / "new", [NAME])
    with pytest.raises(InputError, match="0016E5_00001: the benchmark wants"):
        check_submission(tmp_path, ["0016E5_00001"])
    (tmp_path / "run").mkdir()
    check_submission(tmp_path / "run", [NAME])
    write_submission(tmp_path / "run", NAME, np.zeros((2, 2), np.uint8), SCHEMES["sky"])
    check_submission(tmp_path / "run", [NAME])  # writing the same files again is fine
    with pytest.raises(InputError, match="another prediction of bad-honnef"):
        check_submission(tmp_path, [NAME])
    (tmp_path / "run" / f"{NAME}_leftImg8bit.png").write_bytes(b"")
    with pytest.raises(InputError, match="wants one"):
        check_submission(tmp_path / "run", [NAME])
    with pytest.raises(InputError, match="is a file"):
        check_submission(tmp_path / "run" / f"{NAME}_leftImg8bit.png", [NAME])
