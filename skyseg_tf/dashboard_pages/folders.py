"""The folders whose models, samples and runs the dashboard shows, and nothing of where they lie."""

import re
from dataclasses import dataclass
from pathlib import Path

# The folders of an absolute path, up to its last name.
_PLACE = re.compile(r"(?<![\w.~/:-])/(?:[^/\s:;,'\"`()]+/)*(?=[^/\s:;,'\"`()])")


@dataclass(frozen=True)
class Folders:
    """Where the dashboard looks; nobody who only visits it can name another place."""

    runs: Path = Path("runs")
    """Folder with the run folders that `skyseg train` has written."""
    models: Path = Path("models_display")
    """Folder with more models: run folders, or model files of any runtime."""
    data: Path = Path("data_display")
    """Folder of photos to look at: a dataset in the layout of Cityscapes (leftImg8bit/, gtFine/,
    leftImg8bit_sequence/), or plain photos."""

    def without_places(self, text: str) -> str:
        """A text for visitors, who need not learn how the machine's folders are named.

        Args:
          text: an error, a note, a command.

        Returns:
          The same; paths below the three folders begin with the folder's name, and of other
          absolute paths the last name is left.
        """
        for folder in (self.runs, self.models, self.data):
            for place in {folder.absolute(), folder.resolve()}:
                if len(place.parts) > 2:
                    text = text.replace(str(place), place.name)
        return _PLACE.sub("", text)
