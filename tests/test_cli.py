import importlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from drawn_trees import flat
from signals import strike

from skyseg_tf import __version__, serve
from skyseg_tf.console import dependencies
from skyseg_tf.console.cli import VERBS, main, one_line_errors, parse_flags, run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.console.flags import check_there
from skyseg_tf.errors import InputError
from skyseg_tf.runs.stopping import stoppable


def run(*args):
    return subprocess.run(
        [sys.executable, "-c", "from skyseg_tf.console.cli import main; main()", *map(str, args)],
        capture_output=True,
        text=True,
    )


def test_overview_and_version(capsys):
    main([])
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)
    main(["--version"])
    assert capsys.readouterr().out.startswith("skyseg_tf ")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["tarin"], "skyseg: error: no verb 'tarin': there are .*; did you mean train?"),
        (["--verison"], "skyseg: error: no option '--verison': .* did you mean --version?"),
        (["scenes"], "--out and --count must be given; `skyseg scenes --help` tells all"),
        (["replace", "--sky", "a.jpg"], "PHOTO must be given"),
        (["scenes", "--out", "x", "--conut", "3"], "no option --conut; did you mean --count?"),
        (["scenes", "--out", "x", "--count", "many"], "--count takes INT, not 'many'"),
        (
            ["scenes", "--out", "x", "--count", "2", "--size", "64"],
            "--size takes INT INT, not '64'",
        ),
        (["train", "--image-size", "64", "x"], "--image-size takes INT INT, not '64 x'"),
        (["train", "--image-size", "64", "9.5"], "--image-size takes INT INT, not '64 9.5'"),
        (["train", "--epochs", "1.5"], "--epochs takes INT, not '1.5'"),
        (["check", "--json=3"], "--json takes true or false, not '3'"),
        (["predict", "a.jpg", "--threshold"], "--threshold takes .*, and none is given"),
        (["predict", "a.jpg", "--threshold", "x"], "--threshold takes FLOAT, not 'x'"),
        (
            ["predict", "a.jpg", "--format=maks"],
            "no --format 'maks': there are .* did you mean mask?",
        ),
        (["predict", "a.jpg", "--batch_size", "x"], "--batch-size takes INT, not 'x'"),
        (["check", "tree"], "not understood: tree: perhaps a flag is missing before it"),
        (["check", str(Path(__file__).parent)], "not understood: .*tests: write --source .*tests;"),
        (["train", "--dropout", "0.5"], "no option --dropout; `skyseg"),  # not --plots
        (["scenes", "--c", "5"], "no option --c; `skyseg"),
        # Words of other tools.
        (["predict", "a.jpg", "--amp"], "no option --amp; `skyseg export --precision` writes"),
        (["evaluate", "--conf", "0.3"], "no option --conf; `skyseg"),  # not --encoding
        (["build", "--records", "x"], "no option --records; did you mean --out?"),
        (["scenes", "--num", "3"], "no option --num; did you mean --count?"),
        (["train", "--amp"], "no option --amp; did you mean --precision?"),
        (["train", "--lr", "1e-3"], "no option --lr; did you mean --learning-rate?"),
        (["train", "--lr0=1e-3"], "no option --lr0; did you mean --learning-rate?"),
        (["train", "--batch", "8"], "no option --batch; did you mean --batch-size?"),
        (["train", "-b", "8"], "no option -b; did you mean --batch-size?"),
        (["train", "--imgsz", "640"], "no option --imgsz; did you mean --image-size?"),
        (["train", "--img_size", "640"], "no option --img-size; did you mean --image-size?"),
        (["train", "--gpus", "1"], "no option --gpus; did you mean --devices?"),
        (["train", "--weights", "x.pt"], "no option --weights; did you mean --init?"),
        (["predict", "a.jpg", "--weights", "x"], "no option --weights; did you mean --model?"),
        (["predict", "a.jpg", "--output", "x"], "no option --output; did you mean --out?"),
        (["predict", "--source", "a.jpg"], "no option --source; name photos and folders without"),
        (["train", "--optim", "sgd"], "no option --optim; did you mean --optimizer?"),
        (["train", "--wd", "1e-4"], "no option --wd; did you mean --weight-decay?"),
        (["train", "--project", "x"], "no option --project; did you mean --run?"),
        (["evaluate", "--workers", "8"], "no option --workers; all cores are taken"),
        (["train", "--depth", "101"], "no option --depth; did you mean --model-options?"),
        (["build", "--data", "x"], "no option --data; did you mean --source?"),
        (["train", "lr0=0.01", "epochs=3"], "no option --lr0; did you mean --learning-rate?"),
        (["train", "epochs=3"], "not understood: epochs=3: write --epochs 3"),
    ],
)
def test_slips_of_the_keyboard_are_told_in_one_line(args, line, capfd):
    with pytest.raises(SystemExit) as exit_info:
        main(args)
    assert exit_info.value.code == 2
    told = capfd.readouterr().err
    assert len(told.splitlines()) == 1
    assert re.search(line.replace("?", r"\?"), told), told


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_explains_every_flag(verb):
    result = run(verb, "--help")
    assert result.returncode == 0
    assert f"Usage: skyseg {verb}" in result.stdout
    assert result.stderr == ""
    assert "None" not in result.stdout  # a default is told in words
    assert "ARGS" not in result.stdout


@pytest.mark.parametrize(("result", "status"), [(None, 0), ("a/page.md", 0), (0, 0), (1, 1)])
def test_the_exit_status_is_a_number_that_the_command_returns_and_nothing_else(result, status):
    @dataclass(frozen=True)
    class Config:
        """No flags."""

    with pytest.raises(SystemExit) as error:
        run_command(lambda config: result, Config, [], "prog")
    assert error.value.code == status


def test_what_a_library_makes_of_a_signal_keeps_its_status(capsys):
    """Ray looks for signals itself, and raises exceptions of its own in place of a handler's."""

    def strike_inside(handled: type[BaseException], raised: BaseException) -> None:
        try:
            strike(signal.SIGTERM)
            time.sleep(10)
        except handled:
            raise raised from None

    with pytest.raises(SystemExit) as error, one_line_errors("prog"):
        strike_inside(KeyboardInterrupt, KeyboardInterrupt())
    assert error.value.code == 143
    assert capsys.readouterr().err == "prog: stopped\n"
    with pytest.raises(SystemExit) as error, stoppable("what to do"):
        strike_inside(SystemExit, SystemExit(1))
    assert error.value.code == 143
    assert capsys.readouterr().out == "what to do\n"


@pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="such a system has no terminals of that kind"
)
@pytest.mark.parametrize("takes_sigterm", [True, False])
def test_a_terminal_that_is_closed_lets_a_command_end_in_order(tmp_path, takes_sigterm):
    """A training says there that it has saved, which is an error once nobody is there."""
    import pty

    program = f"""
import fcntl, signal, sys, termios, time
from skyseg_tf.console.cli import one_line_errors
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
told = []
with one_line_errors("prog"):
    if {takes_sigterm}:
        signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    print("begun", flush=True)
    while not told:
        time.sleep(0.01)
    print("saved", flush=True)
    print("saved", file=sys.stderr, flush=True)
    open("saved", "w").close()
"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    )
    os.close(theirs)
    assert b"begun" in os.read(ours, 100)
    os.close(ours)
    assert process.wait(30) == (0 if takes_sigterm else 143)
    assert (tmp_path / "saved").exists() == takes_sigterm


def test_the_home_folder_is_meant_wherever_a_path_begins_with_it(monkeypatch):
    from skyseg_tf.masking.settings import PredictConfig
    from skyseg_tf.training.settings import TrainConfig

    monkeypatch.setenv("HOME", "/home/me")
    home = Path("/home/me")
    told = parse_flags(TrainConfig, ["--run=~/runs/a", "--source", "~/city", "--plots=x~/y"], "")
    assert (told.run, told.source, told.plots) == (home / "runs/a", home / "city", Path("x~/y"))
    told = parse_flags(PredictConfig, ["~/a.jpg", "./~/b.jpg", "--model=~/m.onnx", "--out=~"], "")
    assert [str(path) for path in told.inputs] == ["/home/me/a.jpg", "./~/b.jpg"]
    assert (str(told.model), told.out) == ("/home/me/m.onnx", home)


def test_a_url_of_this_machine_is_the_path_it_stands_for():
    """Where it was a path to some, and text to others, frames and their times.csv parted ways."""
    from skyseg_tf.masking.settings import PredictConfig

    told = parse_flags(PredictConfig, ["file:///a/my%20photo.jpg", "--out=FILE://localhost/b"], "")
    assert (told.inputs, told.out) == (("/a/my photo.jpg",), Path("/b"))


def test_flags_depart_from_the_defaults(capsys):
    @dataclass(frozen=True, kw_only=True)
    class Config:
        size: tuple[int, int] | None = None
        rate: float | None = None
        kind: Literal["a", "b"] | None = "a"

    assert parse_flags(Config, [], "p") == Config()
    assert parse_flags(Config, ["--size", "1", "2"], "p", Config(rate=0.5)) == Config(
        size=(1, 2), rate=0.5
    )
    with pytest.raises(SystemExit):
        parse_flags(Config, ["--help"], "p")
    told = capsys.readouterr().out
    assert "--rate FLOAT" in told
    assert "[choices: a, b] [default: a]" in told
    with pytest.raises(SystemExit):
        parse_flags(Config, ["--rate", "None"], "p")
    assert capsys.readouterr().err == (
        "p: error: --rate takes FLOAT, not 'None'; `p --help` tells all\n"
    )


WRONG_INPUT = [
    (("build", "--source", "/nowhere", "--out", "x"), "/nowhere"),
    (("check", "--source", "/nowhere"), "/nowhere"),
    (("train", "--records", "/nowhere"), "no such file or folder"),
    (("serve", "--port", "99999"), "--port is 99999"),
    (("dashboard", "--port", "99999"), "--port is 99999"),
    (("replace", "gone.jpg", "--sky", "gone.jpg"), "gone.jpg); check the path"),
    (("predict", "gone.jpg"), "gone.jpg: no such file or folder; check the path"),
    (("build", "--source", ".", "--out", "x", "--frames", "0"), "--frames is 0: give at least 1"),
    (("build", "--out", "x", "--storage", "uint"), "did you mean uint8?"),
    (("serve", "--max-megapixels", "0"), "--max-megapixels is 0.0: give more than 0"),
    (("serve", "--max-megabytes", "1e303"), "--max-megabytes is 1e+303: give at most 700"),
    (
        ("predict", "a.jpg", "--format", "alpha8", "--threshold", "0.7"),
        "--threshold 0.7: alpha8 holds the probabilities themselves",
    ),
    (("predict", ""), "no photo given"),
    (("predict", "https://a.org/a.jpg"), "https://a.org/a.jpg: no such file or folder; download"),
    (("predict", "--camera", "-1"), "--camera is -1: 0 is the first"),
    (("predict", "a.jpg", "--model", "skylin"), "a.jpg: no such file"),
    (("replace", "a.jpg", "--sky", "b.jpg", "--out", "./a.jpg"), "a.jpg itself and would be"),
    (("train", "--learning-rate", "nan"), "--learning-rate takes FLOAT, not 'nan'"),
    (("train", "--learning-rate", "-1"), "--learning-rate is -1.0: at least 0, please"),
    (("evaluate", "--model", "a", "--multi-scale", "1", "nan"), "--multi-scale takes FLOAT ..."),
    (
        ("evaluate", "--model", "a", "--overlap", "Infinity"),
        "--overlap takes FLOAT, not 'Infinity'",
    ),
    (("serve", "--max-megabytes", "inf"), "--max-megabytes takes FLOAT, not 'inf'"),
    (("serve", "--upload-seconds", "1e999"), "--upload-seconds takes FLOAT, not '1e999'"),
    (("predict", "a.mp4", "--opacity", "nan"), "--opacity takes FLOAT, not 'nan'"),
    (("replace", "a.jpg", "--sky", "b.jpg", "--strength", "nan"), "--strength takes FLOAT, not"),
    (("train", "--model", "u2net-p"), "did you mean u2netp?"),
    (("search", "--sampler", "tp"), "did you mean tpe?"),
    (
        ("evaluate", "--run", "streets", "--name", "../b"),
        "give the name of a folder, without a path",
    ),
    (("train", "--records", ".", "--source", "."), "not both"),
    (("train", "--run", "s3://b/run"), "--run s3://b/run: takes a path of this machine, no URL"),
    (
        ("train", "--records=s3://b/r", "--data=gs://b"),
        "--data gs://b: takes a path of this machine",
    ),
    (("search", "--space", "ema=0", "--run", "s3://b/s"), "--run s3://b/s: takes a path of this"),
    (
        ("scenes", "--out", "s3://b/a", "--count", "1"),
        "--out s3://b/a: takes a path of this machine",
    ),
    (
        ("export", "--model", "a", "--format", "onnx", "--out", "az://b/a"),
        "--out az://b/a: takes a path of this machine",
    ),
    (
        ("flatten", "--source", "s3://b/a", "--out", "flat"),
        "--source s3://b/a: takes a path of this",
    ),
    (
        ("flatten", "--source", "a", "--out", "s3://b/flat"),
        "--out s3://b/flat: takes a path of this",
    ),
    (
        ("scenes", "--out", "S3://b/a", "--count", "1"),
        "--out S3://b/a: takes a path of this machine",
    ),
    (("train", "--run", "https://b/run"), "--run https://b/run: takes a path of this machine, no"),
    (
        ("predict", "x.jpg", "--out", "HTTPS://b/masks"),
        "--out HTTPS://b/masks: takes a path of this machine or a URL of a storage, such as s3://",
    ),
    (
        ("build", "--source", "http://b/a", "--out", "r"),
        "--source http://b/a: takes a path of this machine or a URL of a storage",
    ),
    (
        ("predict", "a.jpg", "--out", "file://nas/b"),
        "file://nas/b: a file of another machine (nas)",
    ),
    (("verify", "s3://b/records"), "records s3://b/records: takes a path of this machine, no URL"),
    (
        ("predict", "rtsp://nowhere/a", "--out", "s3://b/masks"),
        "--out: videos are written to this machine",
    ),
    *(
        ((*command, "--address", "auto"), "--address auto is for --engine ray: add that")
        for command in (
            ("build", "--source", "x", "--out", "y"),
            ("train",),
            ("search", "--space", "seed=1,2"),
            ("predict", "x.jpg"),
        )
    ),
]


@pytest.mark.parametrize("verb", ["scenes", "flatten", "build"])
def test_a_file_above_the_output_is_told_of_before_any_work(verb, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    flat(tmp_path / "mine")
    out = tmp_path / "file" / "deep"
    given = ("--count", "1") if verb == "scenes" else ("--source", f"{tmp_path / 'mine'}")
    with pytest.raises(SystemExit):
        main([verb, "--out", str(out), *given])
    message = f"{out}: a file is in the way ({tmp_path / 'file'}); choose another folder"
    check_one_line(capfd.readouterr().err, verb, message)


@pytest.mark.parametrize(("args", "message"), WRONG_INPUT)
def test_wrong_input_is_one_line_and_status_2(args, message, capfd):
    with pytest.raises(SystemExit) as exit_info:
        main(list(args))
    assert exit_info.value.code == 2
    check_one_line(capfd.readouterr().err, args[0], message)


def test_a_process_of_its_own_says_no_more_than_that_line():
    """TensorFlow greets on stderr when it is imported."""
    args, message = WRONG_INPUT[-1]
    result = run(*args)
    assert result.returncode == 2
    check_one_line(result.stderr, args[0], message)


def check_one_line(stderr: str, verb: str, message: str) -> None:
    assert message in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert stderr.startswith(f"skyseg {verb}: error: ")


@pytest.mark.parametrize("verb", VERBS)
def test_settings_are_flags_alone_but_python_may_give_them_in_their_order(verb):
    from dataclasses import fields

    from skyseg_tf.console.cli import config_of
    from skyseg_tf.console.command import command_app

    config = config_of(verb)
    names = [field.name for field in fields(config)]
    assert [getattr(config(*names), name) for name in names] == names
    arguments = command_app(config, verb).assemble_argument_collection()
    taken = {argument.field_info.name for argument in arguments if argument.index is not None}
    assert taken == set(getattr(config, "ARGUMENTS", ()))


def test_python_m_does_the_same():
    command = [sys.executable, "-m", "skyseg_tf", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"skyseg_tf {__version__}\n"


@pytest.mark.usefixtures("reaches_urls")
def test_paths_that_are_there_may_be_urls_of_this_machine(tmp_path):
    """Of Python's callers; of the commands' flags, parsing has made paths already."""
    check_there(records=Path(tmp_path.as_uri()), extra_records=(Path("s3://bucket/x"),))
    with pytest.raises(InputError, match=r"--records .*nothing: no such file or folder"):
        check_there(records=Path((tmp_path / "nothing").as_uri()))


@pytest.mark.parametrize(
    ("verb", "flags", "package", "install"),
    [
        ("search", (), "optuna", "'skyseg_tf[scale]'"),
        ("search", ("--engine", "ray"), "ray", "'skyseg_tf[scale]'"),
        ("train", ("--engine", "ray", "--workers", "2"), "ray", "'skyseg_tf[scale]'"),
        (
            "train",
            ("--coordinator", "here:5599", "--num-processes", "2"),
            "jax",
            "'skyseg_tf[jax]'",
        ),
        ("train", ("--engine", "ray", "--workers", "2"), "jax", "'skyseg_tf[jax]'"),
        ("train", ("--track", "wandb"), "wandb", "wandb"),
        ("search", ("--track", "mlflow"), "mlflow", "mlflow"),
        ("search", ("--storage", "postgresql://host/name"), "sqlalchemy", "sqlalchemy"),
        ("evaluate", ("--model", "skyline", "--backend", "openvino"), "openvino", "openvino"),
        ("evaluate", ("--model", "m.tflite"), "ai_edge_litert", "ai-edge-litert"),
        ("import_weights", ("m.pth", "--model", "u2net", "--out", "m.keras"), "torch", "torch"),
        ("train", ("--records", "s3://bucket/records"), "upath", "'skyseg_tf[scale]'"),
        ("build", ("--out", "s3://bucket/records"), "upath", "'skyseg_tf[scale]'"),
        ("export", ("--model", "skyline", "--format", "onnx"), "tf2onnx", "'skyseg_tf[export]'"),
        (
            "export",
            ("--model", "skyline", "--format", "litert"),
            "ai_edge_litert",
            "'skyseg_tf[export]'",
        ),
    ],
)
def test_a_missing_package_is_told_before_tensorflow_is_imported(
    verb, flags, package, install, monkeypatch, capsys, tmp_path
):
    module = importlib.import_module(f"skyseg_tf.{verb}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").touch()
    monkeypatch.setattr(module, "import_tensorflow_quietly", lambda: pytest.fail("slow"))
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    # Of what is asked for alike, this one alone is missing, whatever is installed where tests run.
    found = {package: None}
    monkeypatch.setattr(dependencies, "find_spec", lambda name: found.get(name, name))
    with pytest.raises(SystemExit) as status:
        module.main(list(flags))
    assert status.value.code == 2
    said = capsys.readouterr().err
    assert f"pip install {install}" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart", "prometheus_client"])
def test_a_server_without_one_of_its_packages_says_what_to_install(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit):
        serve.main([])
    assert f"needs {package}: pip install 'skyseg_tf[serve]'" in capsys.readouterr().err


def test_a_backend_of_keras_that_is_not_installed_says_what_to_install(monkeypatch):
    """Keras itself would end with a traceback."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with pytest.raises(
        InputError, match=r"KERAS_BACKEND=jax needs jax: pip install 'skyseg_tf\[jax"
    ):
        import_tensorflow_quietly()


def test_a_file_named_like_a_flag_is_told_how_to_be_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.jpg").touch()
    with pytest.raises(SystemExit):
        main(["predict", "-dash.jpg"])
    assert "a file of that name is given as ./-dash.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("train", ("--records", "nope")),
        ("train", ("--extra-records", "nope")),
        ("train", ("--source", "nope")),
        ("train", ("--resume", "nope")),
        ("search", ("--records", "nope")),
        ("build", ("--out", "x", "--source", "nope")),
        ("evaluate", ("--model", "streets", "--source", "nope")),
        ("evaluate", ("--model", "nope")),
        ("export", ("--format", "onnx", "--model", "nope")),
        ("evaluate", ("--model", "streets", "--records", "nope")),
    ],
)
def test_a_wrong_path_is_told_before_tensorflow_is_imported(verb, flags, monkeypatch, capsys):
    module = importlib.import_module(f"skyseg_tf.{verb}")
    monkeypatch.setattr(module, "import_tensorflow_quietly", lambda: pytest.fail("slow"))
    with pytest.raises(SystemExit) as status:
        module.main(list(flags))
    assert status.value.code == 2
    what = (
        "run folder or model file; packaged are:" if flags[-2] == "--model" else "file or folder;"
    )
    error = capsys.readouterr().err
    assert f"nope: no such {what}" in error
    assert error.endswith("; check the path\n")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "(from CITYSCAPES_DATASET) does not exist; did you mean"),
        (("--scheme", "skies"), "skies"),
    ],
)
def test_build_tells_a_wrong_variable_or_scheme_before_tensorflow_is_imported(
    flags, told, monkeypatch, tmp_path, capsys
):
    from skyseg_tf import build

    (tmp_path / "cityscapes").mkdir()
    wrong = "cityscape" if "did you mean" in told else "cityscapes"
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path / wrong))
    monkeypatch.setattr(build, "import_tensorflow_quietly", lambda: pytest.fail("slow"))
    with pytest.raises(SystemExit):
        build.main(["--out", str(tmp_path / "out"), *flags])
    assert told in capsys.readouterr().err
