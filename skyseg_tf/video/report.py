"""What became of a video, in words: how fast it went, and where the time went."""

from dataclasses import dataclass

from skyseg_tf.errors import counted, printable
from skyseg_tf.masking.stages import StageTime


@dataclass(frozen=True)
class Report:
    """What became of a video.

    Attributes:
      out: what was written.
      network: its name and backend.
      frames: how many.
      skipped: damaged ones, left out.
      missing: how many the file announced beyond its end.
      missed: a camera's frames that came while others were at work.
      without_sky: frames in whose mask nothing is sky.
      cuts: scene changes seen.
      seconds: from the first frame to the end of the file.
      cpu_seconds: of all processor cores.
      stages: times of decode, infer (the network alone), compose and encode.
      stopped: number of the signal that ended it (Ctrl-C's or SIGTERM), or 0.
    """

    out: str
    network: str
    frames: int
    skipped: int
    missing: int
    missed: int
    without_sky: int
    cuts: int
    seconds: float
    cpu_seconds: float
    stages: tuple[StageTime, ...]
    stopped: int

    @property
    def fps(self) -> float:
        """Frames per second, end to end."""
        return self.frames / max(self.seconds, 1e-9)

    @property
    def model_fps(self) -> float:
        """Frames per second of the network in the same run, where it never waits for any."""
        infer = next(stage for stage in self.stages if stage.name == "infer")
        return self.frames * infer.workers / max(infer.busy, 1e-9)

    @property
    def damage(self) -> str:
        """What of the video is not in what was written, in words; empty where all of it is."""
        lost = (
            (self.skipped, "damaged and skipped"),
            (self.missing, "missing, since the file breaks off"),
        )
        return ", ".join(f"{count} {what}" for count, what in lost if count)

    def __str__(self) -> str:
        """The report in lines, the split last."""
        counts = (
            (self.missed, "missed by a camera that was faster"),
            (self.without_sky, "without sky"),
        )
        notes = f", {self.damage}" if self.damage else ""
        notes += "".join(f", {count} {what}" for count, what in counts if count)
        milliseconds = 1000 * self.cpu_seconds / max(self.frames, 1)
        lines = [
            f"{printable(self.out)}: {counted(self.frames, 'frame')}{notes}{' (stopped)' if self.stopped else ''}",
            f"{self.fps:.1f} fps end to end, {self.model_fps:.1f} fps {self.network} alone, "
            f"{milliseconds:.1f} ms of processor per frame",
            f"{'':<10}{'ms/frame':>9}{'cpu ms':>8}{'busy':>7}{'no input':>10}{'no room':>9}",
        ]
        return "\n".join([*lines, *map(self._row, self.stages)])

    def _row(self, stage: StageTime) -> str:
        each = 1000 / max(self.frames, 1)  # milliseconds per frame
        share = 1 / stage.workers / max(self.seconds, 1e-9)
        return (
            f"{stage.name:<10}{each * stage.busy:>9.2f}{each * stage.cpu:>8.2f}"
            f"{share * stage.busy:>7.0%}{share * stage.starved:>10.0%}{share * stage.blocked:>9.0%}"
        )
