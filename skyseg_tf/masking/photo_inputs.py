"""Which photos the inputs of `skyseg predict` name, and where the output of each goes."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from skyseg_tf.data.listing import VIDEO_SUFFIXES, LeftOut, choose_photos, walk_tree
from skyseg_tf.errors import InputError, counted, missing_hint
from skyseg_tf.files.aside import check_folder
from skyseg_tf.files.places import below, is_like_url, is_remote, place, resolved
from skyseg_tf.images import software_of
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.masking.formats import FORMATS, SOFTWARE, Table, output_name, without_outputs
from skyseg_tf.masking.nerfstudio import Scene, read_scene
from skyseg_tf.masking.photo_stages import STREAM, Job
from skyseg_tf.masking.settings import PredictConfig

LISTED = 10  # so many photos are spoken of one by one
# An --out that ends in one of these is a file, any other a folder.
_FILES = frozenset(
    {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *(Path(form.name).suffix for form in FORMATS.values())}
)
_KINDS = (
    "a photo's name ends in .jpg, .png, .heic, .tif or the like (`skyseg predict --help` names all)"
)


def find_jobs(config: PredictConfig, left_out: LeftOut | None = None) -> list[Job]:
    """All photos that the inputs name, with their outputs.

    Args:
      config: see PredictConfig.
      left_out: is filled with what else lies there, by the reason why it is no photo.

    Returns:
      A job for each photo.

    Raises:
      InputError: an input that is not there, two photos for one output, an output that would
        overwrite a photo or that contradicts the format, or several photos for one file.
    """
    out, kind = place(config.out or "masks"), config.format or "mask"
    # A photo that two inputs name is one photo; links are not followed, each has its own mask.
    found: dict[str, tuple[str, Path]] = {}
    for text in filter(None, config.inputs):
        for source, relative in _photos(text, out, {} if left_out is None else left_out):
            is_file = source != STREAM and not is_remote(source)
            found.setdefault(os.path.abspath(source) if is_file else source, (source, relative))
    once = dict(found.values())
    if not once or "" in config.inputs:  # an empty variable of the shell is no folder
        raise InputError("no photo given: name photos, folders, globs, or - for stdin")
    names = [relative.as_posix() for relative in once.values()]
    if len(set(names)) < len(names):
        names = [Path(source).as_posix() for source in once]
    to_stdout = str(out) == STREAM or (config.out is None and config.inputs == (STREAM,))
    targets = _targets(kind, None if to_stdout else out, list(once.values()))
    jobs = [Job(*parts) for parts in zip(once, targets, names, strict=True)]
    if not to_stdout and not isinstance(FORMATS[kind], Table):
        _refuse_clashes(jobs, kind)
    return jobs


def _targets(kind: str, out: Path | None, photos: list[Path]) -> list[Path | None]:
    """Where the output of each photo goes: below a folder, into one file, or to stdout."""
    if out is None:
        if len(photos) > 1 and not isinstance(FORMATS[kind], Table):
            raise InputError(f"stdout holds one photo, these are {len(photos)}: give --out DIR")
        return [None] * len(photos)
    if out.suffix.lower() in _FILES and not out.is_dir():
        _check_file(out, kind, len(photos))
        return [out] * len(photos)
    check_folder(out)
    for relative in photos:
        if relative.is_absolute() or os.path.normpath(relative).split(os.sep)[0] == "..":
            raise InputError(
                f"{relative}: its output would lie outside of {out}; name it without .."
            )
    return [out / output_name(kind, relative).as_posix() for relative in photos]


def _check_file(out: Path, kind: str, photos: int) -> None:
    suffix = Path(FORMATS[kind].name).suffix
    if out.suffix.lower() != suffix:
        fitting = [k for k, form in FORMATS.items() if Path(form.name).suffix == out.suffix.lower()]
        hint = f", or choose --format {', '.join(fitting)}" if fitting else ""
        raise InputError(
            f"--out {out}: the format {kind} is written as {suffix}; give a folder or a name in "
            f"{suffix}{hint}"
        )
    if photos > 1 and not isinstance(FORMATS[kind], Table):
        raise InputError(
            f"--out {out}: one file, and these are {counted(photos, 'photo')}; give a folder"
        )
    check_folder(out.parent)


def _refuse_clashes(jobs: Sequence[Job], kind: str) -> None:
    taken: dict[Path, str] = {}
    sources = {resolved(place(job.source)) for job in jobs}
    folders = {source.parent for source in sources}
    named_as_mask = not FORMATS[kind].name.startswith("{stem}.")
    for job in jobs:
        target = resolved(job.target)
        if job.target in taken:
            raise InputError(
                f"{taken[job.target]} and {job.source} would both be written as {job.target}: "
                f"{_apart(taken[job.target], job.source)}"
            )
        if target in sources:
            raise InputError(
                f"{job.target} is one of the photos and would be overwritten: give another --out"
            )
        # Beside the photos a picture that was not written here may be one that was not asked for.
        other = target.parent in folders and target.suffix == ".png" and target.is_file()
        if other and not named_as_mask and software_of(target) != SOFTWARE:
            raise InputError(
                f"{job.target} lies among the photos, was not written here, and would be "
                "overwritten: give another --out, or move it away"
            )
        taken[job.target] = job.source


def _apart(one: str, other: str) -> str:
    """What to do about two photos of one name: in one folder their suffixes tell them apart."""
    (folder, _), (other_folder, name) = os.path.split(one), os.path.split(other)
    if folder != other_folder:
        return "give the folder above them, or one --out each"
    pattern = os.path.join(folder, f"*{os.path.splitext(name)[1]}")
    return f"give each suffix an --out of its own, such as '{pattern}' --out other"


def find_scene(config: PredictConfig) -> Scene:
    """The scene of Nerfstudio that the inputs name.

    Raises:
      InputError: not one scene, or an --out, which it has none of.
    """
    if len(config.inputs) != 1:
        raise InputError("--format nerfstudio takes one folder, the one with transforms.json")
    if config.out is not None:
        raise InputError("--format nerfstudio writes masks beside transforms.json: leave out --out")
    return read_scene(Path(config.inputs[0]))


def scene_jobs(scene: Scene) -> list[Job]:
    """A job for each photo of a scene of Nerfstudio."""
    return [
        Job(str(scene.folder / photo), scene.folder / mask, photo)
        for photo, mask in scene.masks.items()
    ]


def _photos(text: str, out: Path, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """(path, path below the folder that was asked for) of each photo of one input."""
    path = Path(text)
    if text == STREAM:
        yield STREAM, Path("stdin.png")
    elif is_remote(text):
        yield from _remote_photos(text, out, left_out)
    elif path.is_dir():
        yield from _photos_of_folder(path, out, left_out)
    elif path.exists():  # whatever signs of a pattern its name has
        yield text, Path(path.name)
    elif glob.has_magic(text):
        yield from _matching_photos(text, left_out)
    else:
        what = "download it first" if "://" in text else missing_hint(path)
        raise InputError(f"{text}: no such file or folder; {what}")


def _photos_of_folder(folder: Path, out: Path, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """`_photos` of a folder and those in it."""
    found = sorted(walk_tree(folder))
    masks = resolved(out)
    if resolved(folder) in masks.parents:  # masks of an earlier run are no photos
        found = [path for path in found if not resolved(path).is_relative_to(masks)]
    photos = _chosen(found, left_out)
    if not photos:
        only = f", only {count_left_out(left_out)}" if left_out else ""
        raise InputError(f"{folder}: no photos there{only}; {_KINDS}")
    yield from ((str(photo), photo.relative_to(folder)) for photo in photos)


def _matching_photos(pattern: str, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """`_photos` of a pattern; its folder is what comes before the first part with a sign."""
    parts = Path(pattern).parts
    signs = [glob.has_magic(part) for part in parts]
    folder = Path(*parts[: signs.index(True)])
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    photos = _chosen([path for path in found if not path.is_dir()], left_out)
    if not photos:
        where = "" if all(signs) else f" below {folder}"
        raise InputError(f"{pattern}: no photo matches{where}; check the pattern")
    yield from ((str(photo), photo.relative_to(folder)) for photo in photos)


def _remote_photos(text: str, out: Path, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """`_photos` of an input that is a URL."""
    there = place(text)
    root = there
    if glob.has_magic(text) and not there.exists():  # x[1].jpg may be a name
        while glob.has_magic(str(root)):
            root = root.parent
        found = there.fs.glob(there.path)
    elif there.is_dir():
        found = there.fs.find(there.path)
    elif there.exists():
        found, root = [there.path], there.parent
    else:
        raise InputError(f"{text}: no such file or folder; check the address")
    start = len(root.path.rstrip("/")) + 1
    names = [name[start:] for name in sorted(found)]
    # Whoever may write there chooses the names, and here such a one would lead to any folder.
    strange = {
        name for name in names if ".." in Path(name).parts or Path(name).anchor or is_like_url(name)
    }
    if strange:
        left_out["names with .. or // or a URL in them"] = sorted(map(Path, strange))
    paths = [root / name for name in names if name not in strange]
    photos = _chosen([path for path in paths if out not in path.parents], left_out)
    if not photos:
        raise InputError(f"{text}: no photos there; {_KINDS}")
    yield from ((str(path), Path(below(path, root))) for path in photos)


def _chosen(found: list[Path], left_out: LeftOut) -> list[Path]:
    """The photos among files; adds to `left_out` what is none."""
    found, others = choose_photos(found)
    photos = without_outputs(found)
    if masks := sorted(set(found) - set(photos)):
        others["masks"] = masks
    for reason, paths in others.items():
        left_out.setdefault(reason, []).extend(paths)
    return photos


def some_of(names: Iterable[str]) -> str:
    """The first names."""
    names = list(names)
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")


def count_left_out(left_out: LeftOut) -> str:
    """Such as `3 videos (give their names, ...), 1 .txt`; masks, which are a guess, are named."""
    said = []
    for reason, paths in sorted(left_out.items(), key=lambda item: (-len(item[1]), item[0])):
        named = f" ({some_of(map(str, paths))})" if reason == "masks" else ""
        reason = re.sub(r"^(\w+)s\b", r"\1", reason) if len(paths) == 1 else reason
        said.append(f"{len(paths)} {reason}{named}")
    return ", ".join(said)
