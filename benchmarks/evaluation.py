"""
What judging a frame costs beside the network: reading its scan, projecting it, the metrics.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluation [--drive KITTI_RAW/DAY/DRIVE_sync]
        [--repeats N] [--figures FILE]

The straightforward form moves and projects the whole cloud, resizes depth and labels to the full
image, and goes over the pixels once per scaling, class and distance. Both forms take turns on the
same frames, and must agree. A drive needs its velodyne_points and the calibration beside it;
without one, clouds of a made street stand in. Depth and labels are drawn at random.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import project
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.camera import sparse_depth_image
from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.metrics import CAP_M
from sg_depth_ros.metrics import DISTANCE_EDGES_M
from sg_depth_ros.metrics import judge_image
from sg_depth_ros.metrics import judged_pixels
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.metrics_summary import summarize
from training.data.sources.kitti import read_scan
from training.data.sources.kitti_raw import read_raw_camera

NETWORK = (192, 640)  # height, width of the predictions
KITTI = Intrinsics(721.5, 721.5, 609.6, 172.9, 1242, 375)
# The scanner looks along x with z up, 0.27 m behind the camera and 0.08 m above it.
T_KITTI = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
SCANNER_HEIGHT_M = 1.73
Step = Callable[[], object]
STEPS = ('read', 'projection', 'metrics', 'projection + metrics', 'sum')


class Times(NamedTuple):
    """Milliseconds of a step."""

    cpu: float
    wall: float


class Recording(NamedTuple):
    """Scans and where they were taken."""

    scans: tuple[Path, ...]
    camera: Intrinsics
    T_camera_velodyne: NDArray[np.float64]


class Predicted(NamedTuple):
    """What a network would have given."""

    depth_m: NDArray[np.float32]  # [192, 640]
    labels: NDArray[np.uint8]  # [192, 640]


def straightforward_projection(
    points: NDArray[np.float32], recording: Recording
) -> NDArray[np.float32]:
    T, camera = recording.T_camera_velodyne, recording.camera
    moved = points @ T[:3, :3].T + T[:3, 3]
    ahead = moved[moved[:, 2] > 0.1]
    u, v = np.rint(project(ahead, camera)).astype(np.int64).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    depth_m = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(depth_m, (v[inside], u[inside]), ahead[inside, 2].astype(np.float32))
    depth_m[np.isinf(depth_m)] = 0.0
    return depth_m


def straightforward_metrics(predicted: Predicted, truth_m: NDArray[np.float32]) -> list[float]:
    """Return abs_rel, ..., a3 of the image and of each class and distance, per scaling."""
    valid = judged_pixels(truth_m)
    depth_m = resize_depth(predicted.depth_m, truth_m.shape)
    labels = resize_labels(predicted.labels, truth_m.shape[1], truth_m.shape[0])
    ratio = np.median(truth_m[valid].astype(np.float64)) / np.median(depth_m[valid])
    ends = (*DISTANCE_EDGES_M[1:], math.inf)
    numbers: list[float] = []
    for scaled in (depth_m, depth_m * ratio):
        masks = [valid]
        masks += [valid & (labels == class_id) for class_id in range(len(CLASS_NAMES))]
        masks += [valid & (truth_m >= a) & (truth_m < b) for a, b in zip(DISTANCE_EDGES_M, ends)]
        for mask in masks:
            if mask.any():
                p, t = np.clip(scaled[mask], 1e-3, CAP_M), truth_m[mask].astype(np.float64)
                numbers += metrics_of(p, t)
    return numbers


def metrics_of(p: NDArray[np.float64], t: NDArray[np.float64]) -> list[float]:
    log, worse = np.log(p) - np.log(t), np.maximum(p / t, t / p)
    squared = [np.sqrt(np.mean((p - t) ** 2)), np.sqrt(np.mean(log**2)), 100 * np.std(log)]
    relative = [np.mean(np.abs(p - t) / t), np.mean((p - t) ** 2 / t)]
    return [
        float(x) for x in (*relative, *squared, *(np.mean(worse < 1.25**k) for k in (1, 2, 3)))
    ]


def ours(predicted: Predicted, truth_m: NDArray[np.float32]) -> list[float]:
    """Return the same numbers in the same order."""
    summary = summarize([judge_image(predicted.depth_m, truth_m, predicted.labels)], CLASS_NAMES)
    assert summary.unscaled is not None and summary.median_scaled is not None
    groups = (*summary.per_class, *summary.per_distance)
    metrics = [summary.unscaled, *(g.unscaled for g in groups)]
    metrics += [summary.median_scaled, *(g.median_scaled for g in groups)]
    return [number for m in metrics for number in astuple(m)]


def timed(step: Step) -> Times:
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return Times(1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall))


def measure(recording: Recording, repeats: int) -> dict[str, dict[str, list[Times]]]:
    """Return the times of each step of both forms, frame by frame."""
    rng = np.random.default_rng(0)
    times: dict[str, dict[str, list[Times]]] = {
        form: {step: [] for step in STEPS} for form in ('straightforward', 'ours')
    }
    for scan in recording.scans * repeats:
        predicted = some_prediction(rng)
        points = read_scan(scan)[:, :3]
        camera, T = recording.camera, recording.T_camera_velodyne
        truth_m = sparse_depth_image(points, camera, T)
        np.testing.assert_array_equal(truth_m, straightforward_projection(points, recording))
        expected = straightforward_metrics(predicted, truth_m)
        np.testing.assert_allclose(ours(predicted, truth_m), expected, rtol=1e-4, atol=1e-6)
        forms: dict[str, tuple[Step, Step]] = {
            'straightforward': (
                partial(straightforward_projection, points, recording),
                partial(straightforward_metrics, predicted, truth_m),
            ),
            'ours': (
                partial(sparse_depth_image, points, camera, T),
                partial(judge_image, predicted.depth_m, truth_m, predicted.labels),
            ),
        }
        for form, steps in forms.items():
            read = timed(partial(read_scan, scan))
            projection, metrics = (timed(step) for step in steps)
            both = Times(*(a + b for a, b in zip(projection, metrics)))
            every = Times(*(a + b for a, b in zip(read, both)))
            for step, spent in zip(STEPS, (read, projection, metrics, both, every)):
                times[form][step].append(spent)
    return times


def some_prediction(rng: np.random.Generator) -> Predicted:
    """Draw a smooth depth image and labels in patches."""
    size = NETWORK[::-1]
    depth_m = np.exp(cv2.resize(rng.uniform(1.0, 4.2, (12, 40)), size)).astype(np.float32)
    patches = rng.integers(0, len(CLASS_NAMES), (12, 40)).astype(np.uint8)
    labels = cv2.resize(patches, size, interpolation=cv2.INTER_NEAREST)
    return Predicted(depth_m, np.asarray(labels, np.uint8))


def read_recording(drive: Path) -> Recording:
    raw = read_raw_camera(drive, '02')
    scans = tuple(sorted((drive / 'velodyne_points' / 'data').glob('*.bin')))
    if not scans or raw.T_camera_velodyne is None:
        raise SystemExit(f'{drive}: no velodyne_points, or no calib_velo_to_cam.txt beside it')
    return Recording(scans, raw.intrinsics, raw.T_camera_velodyne)


def made_recording(folder: Path, frames: int = 26) -> Recording:
    """Write scans of a road between walls, as 64 rings of 1900 points see it."""
    rng = np.random.default_rng(0)
    elevation = np.radians(np.linspace(-24.8, 2.0, 64))[:, None]
    azimuth = np.linspace(-math.pi, math.pi, 1900, endpoint=False)[None]
    ray = np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation) + 0 * azimuth,
        ],
        axis=-1,
    )
    to_road_m = SCANNER_HEIGHT_M / np.maximum(-ray[..., 2], 1e-9)
    to_wall_m = 8.0 / np.maximum(np.abs(ray[..., 1]), 1e-9)
    range_m = np.minimum(np.minimum(to_road_m, to_wall_m), 75.0)[..., None]
    for number in range(frames):
        noise = 1 + 0.002 * rng.standard_normal(range_m.shape)
        scan = np.concatenate([ray * range_m * noise, np.zeros_like(range_m)], axis=-1)
        (folder / f'{number:010d}.bin').write_bytes(scan.astype('<f4').tobytes())
    return Recording(tuple(sorted(folder.glob('*.bin'))), KITTI, T_KITTI)


def print_table(times: dict[str, dict[str, list[Times]]]) -> list[Figure]:
    """Print a row per step; return those of what was made faster."""
    figures = []
    print(f'{"median ms per frame":<22}{"straightforward":>18}{"ours":>18}{"ratio":>14}')
    print(f'{"":<22}{"CPU (wall)":>18}{"CPU (wall)":>18}{"CPU (wall)":>14}')
    for step in STEPS:
        a, b = (
            [statistics.median(column) for column in zip(*times[form][step])]
            for form in ('straightforward', 'ours')
        )
        print(
            f'{step:<22}{f"{a[0]:.2f} ({a[1]:.2f})":>18}{f"{b[0]:.2f} ({b[1]:.2f})":>18}'
            f'{f"{a[0] / b[0]:.1f} ({a[1] / b[1]:.1f})":>14}'
        )
        if step in ('projection', 'metrics'):
            figures.append(less_is_better(step, b[0], 'ms', 'straightforward', a[0]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('--drive', type=Path, help='a drive of KITTI raw with velodyne_points')
    parser.add_argument('--repeats', type=int, default=4, help='of all frames')
    add_figures_option(parser)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        recording = read_recording(given.drive) if given.drive else made_recording(Path(folder))
        times = measure(recording, given.repeats)
        points = len(read_scan(recording.scans[0]))
    c = recording.camera
    source = given.drive.name if given.drive else 'a made street'
    print(f'{source}: {len(recording.scans)} scans of {points} points, {c.width}x{c.height}, each')
    print(f'{given.repeats} times; predictions of {NETWORK[1]}x{NETWORK[0]}; one core')
    write_figures(print_table(times), given.figures)


if __name__ == '__main__':
    main()
