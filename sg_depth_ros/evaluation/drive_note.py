"""What a reader should know of a drive besides what was found on it."""

from typing import NamedTuple


class DriveNote(NamedTuple):
    """A drive as a report describes it."""

    name: str  # that of its frames' ``FrameKey.drive``
    source: str = ''  # the file or folder it was read from
    facts: tuple[tuple[str, str], ...] = ()  # what and its value: topics, camera, ground truth
    caution: str = ''  # a sentence: why it, or a part of it, could not be judged
