"""What a report says of a bag besides what was found in it."""

from collections.abc import Sequence

from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.replay.recorded_drive import RecordedDrive


def drive_facts(drive: RecordedDrive) -> tuple[tuple[str, str], ...]:
    """Return what and its value: images, camera, ground truth."""
    camera, truth = drive.camera, drive.truth
    c, lens = camera.intrinsics, camera.rectified.lens
    kind = 'CompressedImage' if camera.topics.compressed else 'Image'
    undistorted = 'no distortion' if lens is None else f'undistorted ({lens.model})'
    measured = f'{truth.source}, within {1e3 * truth.max_offset_s:g} ms of an image'
    return (
        ('images', f'{camera.image_count} of {camera.topics.image} ({kind})'),
        ('size', f'{c.width}x{c.height}'),
        (
            'camera',
            f'fx {c.fx:.1f}, fy {c.fy:.1f}, cx {c.cx:.1f}, cy {c.cy:.1f}, {undistorted}, '
            f'frame {camera.frame_id}',
        ),
        ('ground truth', measured if truth.why_not is None else truth.why_not),
    )


def why_not_judged(
    truth_source: str, why_not: str | None, max_offset_s: float, found: Sequence[FrameFinding]
) -> str:
    """
    Say why the error of a drive's depth could not be judged; empty where it could.

    :param truth_source: empty where nothing was measured.
    :param why_not: as ``Truth`` says it.
    :param max_offset_s: how far image and measurement may lie apart.
    """
    if any(frame.judgement is not None for frame in found):
        return ''
    reason = why_not
    if reason is None and any(frame.invalid_pixels for frame in found):
        reason = 'No measured pixel has a valid depth.'
    if reason is None:
        reason = (
            f'Nothing of {truth_source} was measured within {1e3 * max_offset_s:g} ms of an image '
            'and reaches into it.'
        )
    return f'The error of the depth cannot be judged. {reason}'
