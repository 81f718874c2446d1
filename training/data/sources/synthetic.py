"""A drive made by ``synthesize``: its bag, read like any vehicle's, and its true labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.sources.rosbag import RosbagDrive
from training.data.sources.rosbag import open_rosbag
from training.data.sources.rosbag import rosbag_cameras
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions
from training.data.synthetic.layout import SYNTHETIC_FILE
from training.data.synthetic.layout import SyntheticDrive
from training.data.synthetic.layout import read_synthetic


@dataclass(frozen=True, eq=False)
class SyntheticSource:
    """The bag of a synthetic drive with labels from its ground truth."""

    name: str
    bag: RosbagDrive
    drive: SyntheticDrive
    licence: str = 'generated, no restrictions'

    @property
    def description(self) -> str:
        """What it is, with the seed that makes it again."""
        return f'synthetic drive, seed {self.drive.seed}'

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera as the bag's camera_info states it."""
        return self.bag.intrinsics

    @property
    def frames(self) -> tuple[SourceFrame, ...]:
        """Stamps and speeds of the bag: the true poses stay unused, as on a vehicle."""
        return self.bag.frames

    @property
    def notes(self) -> tuple[str, ...]:
        """What the bag lacks."""
        return self.bag.notes

    def read(self, first: int = 0) -> Iterator[SourceContent]:
        """Return each frame of the bag with its true labels."""
        number_of = {frame.stamp_ns: frame.index for frame in self.drive.frames}
        for frame, content in zip(self.frames[first:], self.bag.read(first)):
            number = number_of.get(frame.stamp_ns)
            labels = None if number is None else self.drive.labels(number)
            if labels is not None and labels.shape != content.image.shape[:2]:
                raise UserError(
                    f'{self.drive.folder}: labels and images differ in size; synthesize it again'
                )
            yield replace(content, labels=labels)


def is_synthetic(path: Path) -> bool:
    """Return whether a folder was made by ``synthesize``."""
    return (path / SYNTHETIC_FILE).is_file()


def synthetic_cameras(path: Path) -> tuple[str, ...]:
    """Return the image topics of a synthetic drive's bag."""
    return rosbag_cameras(read_synthetic(path).bag)


def open_synthetic(path: Path, options: SourceOptions) -> SyntheticSource:
    """
    Open a synthetic drive.

    :raises UserError: where it is damaged.
    """
    drive = read_synthetic(path)
    return SyntheticSource(path.resolve().name, open_rosbag(drive.bag, options), drive)
