"""Everything that is measured and found about one drive."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.checking.brightness import Brightness
from training.checking.brightness import judge_brightness
from training.checking.brightness import measure_brightness
from training.checking.calibration import Calibration
from training.checking.calibration import calibrate
from training.checking.calibration_findings import judge_calibration
from training.checking.camera import judge_camera
from training.checking.finding import Finding
from training.checking.finding import by_weight
from training.checking.finding import frame_list
from training.checking.motion import PairMotions
from training.checking.motion import measure_motion
from training.checking.motion_findings import judge_motion
from training.checking.poses import PoseAgreement
from training.checking.poses import compare_poses
from training.checking.poses import judge_poses
from training.checking.sampling import Sample
from training.checking.sampling import read_sample
from training.checking.sampling import sampled_runs
from training.checking.sharing import judge_origin
from training.checking.speed import SpeedComparison
from training.checking.speed import compare_speed
from training.checking.speed_findings import judge_speed
from training.checking.stamps import Stamps
from training.checking.stamps import judge_stamps
from training.checking.stamps import measure_stamps
from training.data.drive import Drive

CALIBRATION_STEPS = 20  # of the progress bar


@dataclass(frozen=True, eq=False)
class DriveCheck:
    """A drive, what was measured, and what was found, the worst first."""

    folder: Path
    drive: Drive
    sample: Sample
    stamps: Stamps
    brightness: Brightness
    motions: PairMotions
    speed: SpeedComparison | None
    poses: PoseAgreement | None
    calibration: Calibration
    findings: tuple[Finding, ...]


def steps_of(drive: Drive) -> int:
    """Return how often a check of this drive calls ``advance``."""
    frames = sum(len(run) for run in sampled_runs(len(drive.frames)))
    return 2 * frames + CALIBRATION_STEPS


def check_drive(
    folder: Path,
    drive: Drive,
    advance: Callable[[int], None],
    known_height_m: float | None = None,
) -> DriveCheck:
    """
    Measure and judge a drive.

    :param folder: the drive's folder.
    :param advance: called with how many more steps are done.
    :param known_height_m: of the camera above the road, measured by the user.
    """
    sample = read_sample(folder, drive, lambda: advance(1))
    brightness = measure_brightness(sample)
    motions = measure_motion(sample, drive.intrinsics, lambda: advance(1))
    calibration = calibrate(sample, drive.intrinsics)
    advance(CALIBRATION_STEPS)
    stamps = measure_stamps(drive)
    speed = compare_speed(drive, motions)
    poses = compare_poses(drive, motions)
    findings = [
        *judge_origin(drive),
        *judge_camera(drive),
        *judge_calibration(drive.name, drive.intrinsics, calibration, motions),
        *judge_poses(drive, poses),
        *_damaged(drive.name, sample),
        *judge_stamps(drive.name, stamps),
        *judge_brightness(drive.name, brightness),
        *judge_motion(drive, motions),
        *judge_speed(drive, motions, speed, known_height_m, _focal_factor(drive, calibration)),
    ]
    return DriveCheck(
        folder,
        drive,
        sample,
        stamps,
        brightness,
        motions,
        speed,
        poses,
        calibration,
        by_weight(findings),
    )


def _focal_factor(drive: Drive, calibration: Calibration) -> float:
    return 1.0 if calibration.fitted is None else calibration.fitted.fy / drive.intrinsics.fy


def _damaged(name: str, sample: Sample) -> list[Finding]:
    if not sample.damaged:
        return []
    return [
        Finding(
            'error',
            name,
            'damaged images',
            'images are missing, damaged or of another size',
            f'{len(sample.damaged)} ({frame_list(sample.damaged)})',
            'prepare the drive again',
        )
    ]
