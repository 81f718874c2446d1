"""A good drive is broken in one way after the other; each must be found, and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from checked_drives import CAMERA
from checked_drives import write_good_drive
from checked_drives import write_turning_drive

from training.checking.brightness import judge_brightness
from training.checking.brightness import measure_brightness
from training.checking.calibration import Calibration
from training.checking.calibration import calibrate
from training.checking.calibration_findings import judge_calibration
from training.checking.camera import judge_camera
from training.checking.drive_check import DriveCheck
from training.checking.drive_check import check_drive
from training.checking.finding import Finding
from training.checking.motion import PairMotions
from training.checking.motion import measure_motion
from training.checking.motion_findings import judge_motion
from training.checking.poses import compare_poses
from training.checking.poses import judge_poses
from training.checking.sampling import MOST_FRAMES
from training.checking.sampling import Run
from training.checking.sampling import Sample
from training.checking.sampling import sampled_runs
from training.checking.speed import compare_speed
from training.checking.speed_findings import judge_speed
from training.checking.stamps import judge_stamps
from training.checking.stamps import measure_stamps
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import write_drive

FRAMES = 48


class Good(NamedTuple):
    """The good drive, checked once."""

    folder: Path
    drive: Drive  # with speed only
    with_poses: Drive
    check: DriveCheck


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checked') / 'good'
    (folder / 'frames').mkdir(parents=True)
    with_poses = write_good_drive(folder, start_s=5.2, frames=FRAMES)
    frames = (replace(f, T_world_camera=None) for f in with_poses.frames)
    drive = replace(with_poses, frames=tuple(frames))
    write_drive(drive, folder)
    return Good(folder, drive, with_poses, check_drive(folder, drive, lambda steps: None))


@pytest.fixture(scope='module')
def turning(tmp_path_factory):
    folder = tmp_path_factory.mktemp('turning') / 'spot'
    (folder / 'frames').mkdir(parents=True)
    return folder, write_turning_drive(folder, frames=14)


def serious(findings: list[Finding] | tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(f.level, f.subject) for f in findings if f.level != 'note']


def calibrated(good: Good, **changes: float) -> tuple[Calibration, list[Finding]]:
    camera = replace(CAMERA, **changes)
    calibration = calibrate(good.check.sample, camera)
    return calibration, judge_calibration('good', camera, calibration, good.check.motions)


def with_speed(good: Good, speed_m_s: np.ndarray) -> list[Finding]:
    frames = [replace(f, speed_m_s=float(v)) for f, v in zip(good.drive.frames, speed_m_s)]
    drive = replace(good.drive, frames=tuple(frames))
    compared = compare_speed(drive, good.check.motions)
    return judge_speed(drive, good.check.motions, compared, None)


def speeds(good: Good) -> np.ndarray:
    return np.array([f.speed_m_s for f in good.drive.frames])


def sample_of(good: Good, order: list[int]) -> Sample:
    run = good.check.sample.runs[0]
    return Sample((Run(0, tuple(run.grays[i] for i in order)),), ())


def motion_of(sample: Sample, speed_m_s: float | None = 9.0) -> tuple[Drive, PairMotions]:
    """Measure a sample as a drive of its own, 10 Hz, all of it kept."""
    frames = tuple(Frame(i, i * 100_000_000, speed_m_s) for i in range(sample.frame_count))
    drive = Drive('broken', 'test', CAMERA, CAMERA, frames)
    return drive, measure_motion(sample, CAMERA, lambda: None)


def test_the_good_drive_has_no_errors_and_no_warnings(good):
    assert serious(good.check.findings) == []


def test_on_the_good_drive_tracks_confirm_the_focal_length_and_the_road_gives_the_height(good):
    curve = good.check.calibration.curve('focal length')
    assert 0.9 < curve.low < 1.0 < curve.high < 1.1
    assert good.check.speed.camera_height_m == pytest.approx(1.5, rel=0.04)
    assert good.check.speed.correlation > 0.85


@pytest.mark.parametrize(('factor', 'what'), [(0.5, 'too small'), (2.0, 'too large')])
def test_a_wrong_focal_length_is_found_with_its_factor(good, factor, what):
    calibration, findings = calibrated(good, fx=CAMERA.fx * factor, fy=CAMERA.fy * factor)
    assert serious(findings) == [('error', 'focal length')]
    assert what in findings[0].what
    assert calibration.fitted.fx == pytest.approx(CAMERA.fx, rel=0.12)


def test_a_shifted_principal_point_is_found_with_its_shift(good):
    shift_px = 0.1 * CAMERA.width
    calibration, findings = calibrated(good, cx=CAMERA.cx + shift_px)
    assert ('error', 'principal point') in serious(findings)
    assert any('cx looks' in f.what and 'too large' in f.what for f in findings)
    assert calibration.fitted.cx == pytest.approx(CAMERA.cx, abs=0.4 * shift_px)


def test_fx_alone_wrong_is_told_from_both_wrong(good):
    calibration, findings = calibrated(good, fx=CAMERA.fx / 1.6)
    assert ('error', 'focal length') in serious(findings)
    assert 'fx looks' in findings[0].what
    assert calibration.fitted.fx == pytest.approx(CAMERA.fx, rel=0.15)


def test_a_drive_that_hardly_moves_does_not_show_its_focal_length(good):
    still = Sample((Run(0, good.check.sample.runs[0].grays[-5:]),), ())
    calibration = calibrate(still, CAMERA)
    findings = judge_calibration('still', CAMERA, calibration, good.check.motions)
    assert serious(findings) == []
    assert 'not observable' in findings[0].what


@pytest.mark.parametrize(
    ('changes', 'subject', 'what'),
    [
        ({'fx': 20.0, 'fy': 20.0}, 'focal length', 'too small'),
        ({'fx': 4000.0, 'fy': 4000.0}, 'focal length', 'too large'),
        ({'fx': CAMERA.fx / 2}, 'focal length', 'fx and fy of the recording differ'),
        ({'cx': CAMERA.cx + 0.1 * CAMERA.width}, 'principal point', 'far from the middle'),
        (
            {'fx': 300.0, 'fy': 300.0, 'cx': 255.5, 'cy': 95.5},
            'focal length',
            'fx, fy, cx and cy look 2.00x too large',
        ),
    ],
    ids=['wide', 'narrow', 'aspect', 'off centre', 'other size'],
)
def test_implausible_intrinsics_are_found_without_images(changes, subject, what):
    camera = replace(CAMERA, **changes)
    findings = judge_camera(Drive('d', 'test', camera, camera.resized(512, 192), ()))
    assert [f.subject for f in findings] == [subject]
    assert what in findings[0].what


def test_intrinsics_that_were_not_resized_with_the_images_are_found():
    original = CAMERA.resized(1024, 384)
    stale = replace(original, width=CAMERA.width, height=CAMERA.height)
    findings = judge_camera(Drive('d', 'test', stale, original, ()))
    assert ('error', 'camera') in serious(findings)


def test_missing_frames_are_gaps(good):
    kept = [f for f in good.drive.frames if not 10 <= f.index < 15]
    drive = replace(good.drive, frames=tuple(replace(f, index=i) for i, f in enumerate(kept)))
    findings = judge_stamps('d', measure_stamps(drive))
    assert serious(findings) == [('warning', 'stamps')]
    assert '000009' in findings[0].number and '0.60 s' in findings[0].number


def test_a_backward_and_a_stuttering_clock_are_found(good):
    stamps = [f.stamp_ns for f in good.drive.frames]
    stamps[5] = stamps[4] - 1
    jitter_ns = np.random.default_rng(0).integers(-35_000_000, 35_000_000, FRAMES)
    for changed, level in ((stamps, 'error'), (np.sort(stamps + jitter_ns), 'warning')):
        frames = [replace(f, stamp_ns=int(s)) for f, s in zip(good.drive.frames, changed)]
        findings = judge_stamps('d', measure_stamps(replace(good.drive, frames=tuple(frames))))
        assert (level, 'stamps') in serious(findings)


@pytest.mark.parametrize(('value', 'what'), [(4, 'black'), (254, 'white')])
def test_black_and_overexposed_frames_are_found(good, value, what):
    grays = list(good.check.sample.runs[0].grays)
    grays[8:12] = [np.full_like(grays[0], value)] * 4
    findings = judge_brightness('d', measure_brightness(Sample((Run(0, tuple(grays)),), ())))
    assert any(what in f.what and '4 of 48 (000008' in f.number for f in findings)
    assert any('jumps' in f.what for f in findings)


def test_exposure_that_jumps_and_a_blurred_frame_are_found(good):
    grays = list(good.check.sample.runs[0].grays)
    grays[20:] = [np.minimum(1.5 * g, 255).astype(np.uint8) for g in grays[20:]]
    grays[5] = np.repeat(np.repeat(grays[5][::8, ::8], 8, 0), 8, 1)
    grays[5] = np.full_like(grays[5], grays[5].mean()) // 2 + grays[5] // 2
    blurred = np.cumsum(np.cumsum(grays[4].astype(np.float64), 0), 1)
    blurred = blurred[10:, 10:] - blurred[:-10, 10:] - blurred[10:, :-10] + blurred[:-10, :-10]
    grays[5] = np.pad((blurred / 100).astype(np.uint8), ((5, 5), (5, 5)), 'edge')
    findings = judge_brightness('d', measure_brightness(Sample((Run(0, tuple(grays)),), ())))
    assert any('jumps' in f.what and '000020' in f.number for f in findings)
    assert any('less sharp' in f.what and '000005' in f.number for f in findings)


def test_repeated_images_are_told_from_standing(good):
    order = [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]
    drive, motions = motion_of(sample_of(good, order))
    findings = judge_motion(drive, motions)
    assert serious(findings) == [('error', 'duplicates')]
    assert '000003, 000008' in findings[0].number


def test_a_static_stretch_is_found(good):
    sample = sample_of(good, [0, 1, 2, 3, *[4] * 10, 5, 6, 7])
    rng = np.random.default_rng(0)  # a camera at rest still has noise
    noisy = [np.clip(g + rng.normal(0, 1.5, g.shape), 0, 255) for g in sample.runs[0].grays]
    grays = tuple(g.astype(np.uint8) for g in noisy)
    drive, motions = motion_of(Sample((Run(0, grays),), ()), speed_m_s=None)
    findings = judge_motion(drive, motions)
    assert [s for _, s in serious(findings)] == ['static']
    assert '000004' in findings[0].number
    drive = replace(drive, frames=tuple(replace(f, speed_m_s=9.0) for f in drive.frames))
    speed = judge_speed(drive, motions, compare_speed(drive, motions), None)
    assert any('stand still while the speed says driving' in f.what for f in speed)


def test_turning_on_the_spot_is_found(turning):
    folder, drive = turning
    checked = check_drive(folder, drive, lambda steps: None)
    assert serious(checked.findings) == [('error', 'rotation only')]


@pytest.mark.parametrize(('factor', 'what'), [(3.6, 'km/h'), (1 / 8, 'too small')])
def test_a_wrong_unit_of_the_speed_is_found(good, factor, what):
    findings = with_speed(good, factor * speeds(good))
    assert serious(findings) == [('error', 'speed unit')]
    assert what in findings[0].what


def test_a_measured_camera_height_tells_what_is_wrong(good):
    def judged(height_m):
        return judge_speed(good.drive, good.check.motions, good.check.speed, height_m)

    assert serious(judged(1.5)) == []
    assert serious(judged(0.75)) == [('error', 'speed unit')]
    assert '2.0' in judged(0.75)[0].what


@pytest.mark.parametrize('shift_s', [1.0, -1.0])
def test_a_speed_of_another_time_is_found_with_its_offset(good, shift_s):
    time_s = np.arange(FRAMES) / 10.0
    findings = with_speed(good, np.interp(time_s - shift_s, time_s, speeds(good)))
    offsets = [f for f in findings if f.subject == 'speed offset']
    assert [f.level for f in offsets] == ['error']
    late = 'late' if shift_s > 0 else 'early'
    assert late in offsets[0].what
    assert float(offsets[0].what.split(' s too')[0].split()[-1]) == pytest.approx(1.0, abs=0.2)


def test_a_speed_of_zero_is_found(good):
    findings = with_speed(good, np.zeros(FRAMES))
    assert ('error', 'speed') in serious(findings)
    assert 'zero while the images move' in findings[0].what


def test_a_speed_that_has_nothing_to_do_with_the_images_is_found(good):
    unrelated = 6 + 4 * np.sin(np.arange(FRAMES) * 1.3)
    assert serious(with_speed(good, unrelated)) != []


def test_poses_give_the_focal_length_and_their_axes_are_checked(good):
    agreement = compare_poses(good.with_poses, good.check.motions)
    assert agreement.focal_factor == pytest.approx(1.0, abs=0.03)
    assert judge_poses(good.with_poses, agreement) == []

    doubled = replace(CAMERA, fx=2 * CAMERA.fx, fy=2 * CAMERA.fy)
    short = Sample((Run(0, good.check.sample.runs[0].grays[:24]),), ())
    motions = measure_motion(short, doubled, lambda: None)
    findings = judge_poses(good.with_poses, compare_poses(good.with_poses, motions))
    assert ('error', 'focal length') in serious(findings)
    assert 'too large' in findings[0].what

    # The vehicle's axes, x ahead and z up, in place of the camera's.
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    frames = []
    for frame in good.with_poses.frames:
        pose = np.array(frame.T_world_camera).reshape(3, 4)
        turned = np.concatenate([pose[:, :3] @ axes, pose[:, 3:]], axis=1)
        frames.append(replace(frame, T_world_camera=tuple(turned.ravel().tolist())))
    swapped = replace(good.with_poses, frames=tuple(frames))
    findings = judge_poses(swapped, compare_poses(swapped, good.check.motions))
    assert ('error', 'poses') in serious(findings)


def test_long_drives_are_sampled_evenly_and_bounded():
    runs = sampled_runs(100_000)
    assert sum(len(r) for r in runs) <= MOST_FRAMES
    assert runs[0].start == 0 and runs[-1].stop == 100_000
    assert runs == sampled_runs(100_000)
    assert sampled_runs(MOST_FRAMES) == [range(MOST_FRAMES)]
