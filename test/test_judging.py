"""Depth as the node publishes it, judged frame by frame without ground truth."""

import json

import numpy as np
import pytest
from tiny_model import tiny_contract

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.judging import judge_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.prediction import FramePrediction

FRAMES = 12
WIDTH, HEIGHT = 160, 64


def published_road_m(contract):
    """Return the road under a camera at 1.5 m; beyond the model's range it is infinite."""
    camera = contract.intrinsics
    row = np.maximum(np.arange(camera.height) - camera.cy, 1e-9)
    road_m = np.repeat(1.5 * camera.fy / row[:, None], camera.width, axis=1)
    return np.where(road_m > contract.max_depth_m, np.inf, road_m).astype(np.float32)


def judge(contract, depths, tmp_path):
    labels = np.full((HEIGHT, WIDTH), UNKNOWN_ID, np.uint8)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    options = JudgingOptions()
    found = [
        judge_frame(
            FramePrediction(
                FrameKey('a drive', number), image, depth_m, labels, False, contract.intrinsics
            ),
            None,
            contract,
            options,
        )
        for number, depth_m in enumerate(depths)
        if depth_m is not None
    ]
    model = NamedModel('tiny', tmp_path / 'model.onnx')
    return assemble_findings(model, contract, 'a drive', options, found)


@pytest.mark.parametrize('metric', [True, False])
def test_holes_and_jumps_are_counted_without_ground_truth(tmp_path, metric: bool):
    contract = tiny_contract(WIDTH, HEIGHT, metric=metric)
    depths = [published_road_m(contract) for _ in range(FRAMES)]
    depths[2][50:54, 60:80] = np.inf  # 80 pixels of a near car
    depths[4][50, 60:64] = contract.max_depth_m
    depths[6] = None  # nothing was published
    depths[8][:, :20] = np.nan  # seen by no pixel of the original
    depths[10] *= np.float32(1.05)
    findings = judge(contract, depths, tmp_path)
    infinite = findings.infinite_depth()
    assert (infinite.frames, infinite.pixels) == (1, 84)
    assert (infinite.frames_without_plane, infinite.all_frames) == (0, 11)
    assert findings.stability().pairs == 9
    assert findings.temporal_scale() is None
    document = findings.to_json()
    assert document['infinite_depth']['pixels'] == 84
    assert document['ground_truth'] is None
    json.dumps(document, allow_nan=False)
