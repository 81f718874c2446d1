"""What is measured over the frames of drives, against plain loops."""

import json
import math

import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.drive_metrics import FrameValue
from sg_depth_ros.drive_metrics import HoleCount
from sg_depth_ros.drive_metrics import depth_change
from sg_depth_ros.drive_metrics import summarize_infinite_depth
from sg_depth_ros.drive_metrics import temporal_scale
from sg_depth_ros.ground import find_infinite_depth

CAMERA = Intrinsics(100.0, 100.0, 63.5, 19.5, 128, 64)


def plain_change(drives: dict[str, dict[int, float]]):
    """Return pairs, mean of the drives' means and all changes, one pair after the other."""
    means, every = [], []
    for values in drives.values():
        own = [
            abs(math.log(values[frame + 1]) - math.log(values[frame]))
            for frame in sorted(values)
            if frame + 1 in values
        ]
        if own:
            means.append(sum(own) / len(own))
        every += own
    return len(every), sum(means) / len(means), sorted(every)


def some_drives(seed: int):
    rng = np.random.default_rng(seed)
    return {
        name: {f: float(rng.uniform(0.5, 2.0)) for f in range(30) if rng.uniform() < share}
        for name, share in (('a', 1.0), ('b', 0.6), ('c', 0.3))
    }


def frame_values(drives: dict[str, dict[int, float]], seed: int = 0):
    values = [FrameValue(d, f, v) for d, own in drives.items() for f, v in own.items()]
    return [values[i] for i in np.random.default_rng(seed).permutation(len(values))]


@pytest.mark.parametrize('seed', range(3))
def test_change_over_drives_equals_a_plain_loop_in_any_order(seed: int):
    drives = some_drives(seed)
    pairs, mean, every = plain_change(drives)
    spreads = []
    for values in drives.values():
        ordered = sorted(values.values())
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        relative = [v / middle for v in ordered]
        center = sum(relative) / len(relative)
        spreads.append(math.sqrt(sum((r - center) ** 2 for r in relative) / len(relative)))
    place = 0.95 * (pairs - 1)
    below, above = every[math.floor(place)], every[math.ceil(place)]
    p95 = below + (above - below) * (place - math.floor(place))

    scale = temporal_scale(frame_values(drives, seed))
    assert (scale.drives, scale.pairs) == (3, pairs)
    assert scale.mean == pytest.approx(mean)
    assert scale.p95 == pytest.approx(p95)
    assert scale.spread == pytest.approx(sum(spreads) / 3)
    change = depth_change(frame_values(drives, seed))
    assert (change.pairs, change.mean, change.p95) == (scale.pairs, scale.mean, scale.p95)


def test_every_drive_counts_the_same_however_long():
    steady = dict.fromkeys(range(100), 1.0)
    jumping = {0: 1.0, 1: math.e}
    assert depth_change(frame_values({'a': steady, 'b': jumping})).mean == pytest.approx(0.5)


def test_a_constant_factor_changes_nothing():
    drives = some_drives(0)
    scaled = {d: {f: 7.3 * v for f, v in own.items()} for d, own in drives.items()}
    one, other = (temporal_scale(frame_values(d)) for d in (drives, scaled))
    assert other == pytest.approx(one)


def test_a_frame_without_truth_and_the_end_of_a_drive_make_no_pair():
    gap = {'a': {0: 1.0, 2: 3.0}, 'b': {3: 5.0}}  # 'b' starts where 'a' would go on
    scale = temporal_scale(frame_values(gap))
    assert (scale.drives, scale.pairs, scale.mean, scale.p95) == (1, 0, None, None)
    assert scale.spread == pytest.approx(0.5)  # 1/2 and 3/2
    assert depth_change(frame_values(gap)) is None
    assert temporal_scale(frame_values({'a': {0: 1.0}, 'b': {1: 2.0}})) is None
    assert temporal_scale([]) is None
    json.dumps(scale.to_json(), allow_nan=False)


def road_depth_m(camera_height_m: float = 1.5):
    rows = np.arange(CAMERA.height) - CAMERA.cy
    road_m = camera_height_m * CAMERA.fy / np.maximum(rows, 1e-9)
    return np.repeat(np.minimum(road_m, 100.0)[:, None], CAMERA.width, axis=1)


def test_infinite_depth_counts_frames_above_the_threshold_and_pixels_of_all():
    depths = [road_depth_m() for _ in range(4)]
    depths[1][40:44, 50:60] = 100.0  # a hole of 40 pixels
    depths[2][40:41, 50:53] = np.inf  # too few to count as a frame
    depths[3][:] = np.inf  # no plane
    found = [find_infinite_depth(depth, CAMERA, metric=True) for depth in depths]
    counts = [HoleCount(int(f.below.sum()), f.plane) for f in found]
    summary = summarize_infinite_depth(counts, threshold_px=10.0)
    assert (summary.frames, summary.pixels) == (1, 43)
    assert (summary.frames_without_plane, summary.all_frames) == (1, 4)
    document = summary.to_json()
    assert document['margin_camera_heights'] == 0.3
    json.dumps(document, allow_nan=False)
