from dataclasses import replace

import numpy as np
import pytest
from tiny_bag import FIRST_STAMP_NS
from tiny_bag import PERIOD_NS
from tiny_bag import write_tiny_bag
from tiny_model import RED_STEP_M
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.evaluation.published import judge_published
from sg_depth_ros.replay.ground_truth import lidar_ground_truth

CONTRACT = tiny_contract()


def truth_of(path, camera, frame='camera', **options):
    with open_bag(path) as bag:
        return lidar_ground_truth(bag, camera, frame, **options)


def test_clouds_are_projected_through_the_static_transforms(tmp_path):
    camera = write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=3)
    truth = truth_of(tmp_path / 'bag', camera)
    assert truth.why_not is None
    depth_m = truth.depth_at(FIRST_STAMP_NS + PERIOD_NS)
    assert depth_m == pytest.approx(tiny_ramp_m(CONTRACT) + 2 * RED_STEP_M, rel=1e-4)


def test_a_cloud_too_far_in_time_is_no_truth(tmp_path):
    camera = write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=2, lidar_delay_ns=15_000_000)
    near = truth_of(tmp_path / 'bag', camera, max_offset_s=0.02)
    assert near.depth_at(FIRST_STAMP_NS) is not None
    strict = truth_of(tmp_path / 'bag', camera, max_offset_s=0.01)
    assert strict.depth_at(FIRST_STAMP_NS) is None
    assert near.depth_at(FIRST_STAMP_NS - PERIOD_NS) is None


def test_the_nearest_cloud_counts(tmp_path):
    camera = write_tiny_bag(tmp_path / 'bag', CONTRACT, frames=3)
    truth = truth_of(tmp_path / 'bag', camera, max_offset_s=1.0)
    first = truth.depth_at(FIRST_STAMP_NS + PERIOD_NS // 2 - 1)
    second = truth.depth_at(FIRST_STAMP_NS + PERIOD_NS // 2 + 1)
    assert (second - first) == pytest.approx(2 * RED_STEP_M, rel=1e-2)


def test_it_says_why_there_is_none(tmp_path):
    camera = write_tiny_bag(tmp_path / 'no_lidar', CONTRACT, frames=1, lidar=False)
    assert 'no LiDAR' in truth_of(tmp_path / 'no_lidar', camera).why_not
    write_tiny_bag(tmp_path / 'no_tf', CONTRACT, frames=1, transform=False)
    why = truth_of(tmp_path / 'no_tf', camera).why_not
    assert '"lidar"' in why
    assert '"camera"' in why
    why = truth_of(tmp_path / 'no_lidar', replace(camera), 'camera').why_not
    assert why is not None


def test_infinite_depth_is_judged_as_far_and_nan_is_counted_apart():
    truth_m = np.full((20, 40), 10.0, np.float32)
    right = judge_published(truth_m.copy(), truth_m, crop='none')
    assert right.invalid_pixels == 0
    assert right.judgement.unscaled.abs_rel == pytest.approx(0.0, abs=1e-6)
    half = truth_m.copy()
    half[:, :20] = np.nan
    with_holes = judge_published(half, truth_m, crop='none')
    assert with_holes.invalid_pixels == 400
    assert with_holes.judgement.pixels == 400
    assert with_holes.judgement.unscaled.abs_rel == pytest.approx(0.0, abs=1e-6)
    half[:, :20] = np.inf
    with_sky = judge_published(half, truth_m, crop='none')
    assert with_sky.judgement.pixels == 800
    assert with_sky.judgement.unscaled.abs_rel == pytest.approx(0.5 * 7.0, rel=1e-3)  # 80 m


def test_an_image_without_any_valid_depth_is_not_judged():
    truth_m = np.full((20, 40), 10.0, np.float32)
    judged = judge_published(np.full((10, 20), np.nan, np.float32), truth_m, crop='none')
    assert judged.judgement is None
    assert judged.invalid_pixels == 800
