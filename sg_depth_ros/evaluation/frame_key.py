"""The name of a frame, in splits, tables and files alike."""

from typing import NamedTuple


class FrameKey(NamedTuple):
    """A frame of a drive: of a dataset, of a list of KITTI's, or of a bag."""

    drive: str
    frame: int  # consecutive frames differ by 1
