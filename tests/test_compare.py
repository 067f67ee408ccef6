"""What the scripts of benchmarks/ have in common, and the files of figures that they write."""

import json
import sys

import pytest

from benchmarks.compare import Peer, Row, report, without_paths
from benchmarks.networks import GMAC_SIZE, keep
from skyseg_tf.errors import InputError


def test_a_command_names_no_place_of_this_machine():
    for python in ("/home/me/my venv/bin/python3", "../venv/bin/python"):
        for words in (["--torch-python", python], [f"--torch-python={python}"]):
            shown = without_paths(["python", "benchmarks/x.py", *words, "--out", "docs/a.json"])
            assert shown.replace("=", " ") == (
                "python benchmarks/x.py --torch-python PYTHON --out docs/a.json"
            )
    assert without_paths(["--video", "/data/a clip.mp4"]) == "--video 'a clip.mp4'"


def test_figures_of_before_stay_where_nothing_was_compared(tmp_path):
    out = tmp_path / "figures" / "a.json"
    row = Row("masks", "photos/s", "ours", "theirs", [4.0, 6.0], [2.0, 2.0])
    report([row], out)
    before = out.read_bytes()
    assert json.loads(before)["rows"][0]["values"] == [4.0, 6.0]
    with pytest.raises(InputError, match="nothing was compared"):
        report([], out)
    assert out.read_bytes() == before


def test_a_peer_answers_line_by_line_and_ends_with_the_block(tmp_path):
    script = tmp_path / "peer.py"
    script.write_text("import sys\nfor line in sys.stdin:\n    print(1 / int(line), flush=True)\n")
    with Peer(sys.executable, script) as peer:
        assert float(peer.ask(4)) == 0.25
        with pytest.raises(InputError, match=r"peer\.py: has ended, without an answer to '0'"):
            peer.ask(0)
        with pytest.raises(InputError, match="has ended"):
            peer.ask(1)
    assert peer.process.returncode
    with pytest.raises(KeyboardInterrupt), Peer(sys.executable, script) as peer:
        raise KeyboardInterrupt
    assert peer.process.returncode is not None


def test_figures_of_networks_that_were_not_measured_stay(tmp_path):
    out = tmp_path / "networks.json"
    keep(out, (256, 512), 8, {"u2net": {"gmacs": 1}, "skynet": {"gmacs": 2}})
    keep(out, [256, 512], 8, {"skynet": {"gmacs": 3}})
    told = json.loads(out.read_text())
    assert told["networks"] == {"u2net": {"gmacs": 1}, "skynet": {"gmacs": 3}}
    assert (told["size"], told["gmac_size"]) == ([256, 512], list(GMAC_SIZE))
    keep(out, (128, 256), 8, {"skynet": {"gmacs": 4}})  # not to be compared with those
    assert json.loads(out.read_text())["networks"] == {"skynet": {"gmacs": 4}}
