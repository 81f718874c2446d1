"""What is known of a bag besides what was found in it."""

from sg_depth_ros.contract import ModelContract
from sg_depth_ros.evaluation.drive_note import DriveNote
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.pipeline import fitted_camera
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.replay.recorded_drive import RecordedDrive


def drive_note(
    drive: RecordedDrive, contract: ModelContract, findings: Findings, source: str
) -> DriveNote:
    """
    Return camera, topics, and why the depth's error could not be judged, where it could not.

    :param source: the bag as the user named it.
    """
    camera, c = drive.camera, drive.camera.intrinsics
    factor = focal_correction(fitted_camera(c, contract), contract)
    facts = (
        ('image topic', camera.topics.image),
        ('camera_info topic', camera.topics.camera_info or 'none'),
        ('frame', camera.frame_id),
        ('image', f'{c.width} x {c.height}, {c.horizontal_fov_deg():.0f}° wide'),
        ('camera', f'fx {c.fx:.1f}, fy {c.fy:.1f}, cx {c.cx:.1f}, cy {c.cy:.1f} px'),
        ('depth multiplied by', f"{factor:.3f} (focal length over the model's)"),
        ('measured depth', drive.truth.source or 'none'),
    )
    return DriveNote(drive.name, source, facts, why_not_judged(drive, findings))


def why_not_judged(drive: RecordedDrive, findings: Findings) -> str:
    """Say why no depth could be judged against LiDAR; empty where some could."""
    if findings.summary.unscaled is not None:
        return ''
    if drive.truth.why_not is not None:
        return drive.truth.why_not
    if any(frame.invalid_pixels for frame in findings.frames):
        return 'No measured pixel has a valid depth.'
    offset_ms = drive.truth.max_offset_s * 1e3
    return (
        f'Nothing of {drive.truth.source} was taken within {offset_ms:g} ms of an image and '
        'reaches into it.'
    )
