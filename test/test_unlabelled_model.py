"""A network without a semantic one is exported, judged and driven with: its labels are unknown."""

import json

import numpy as np
import pytest
import torch
from tiny_dataset import write_dataset

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.classes import colorize_labels
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.pipeline import DepthCorrection
from sg_depth_ros.point_cloud import PointCloudBuilder
from training.__main__ import main
from training.checkpoint import checkpoint_entries
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.provenance import Provenance

WIDTH, HEIGHT = 128, 64


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    torch.manual_seed(1)
    config = DepthNetworkConfig(
        encoder_width=8, decoder_channels=(16, 16, 8, 8, 8), guidance='none'
    )
    network = GuidedDepthNetwork(config, None)
    provenance = Provenance(
        intrinsics=Intrinsics(64.0, 64.0, 63.5, 31.5, WIDTH, HEIGHT),
        scale_source='speed',
        stage=1,
        dataset_sha256='a' * 64,
        config_sha256='b' * 64,
        git_commit='c' * 40,
    )
    state = {f'network.{key}': value for key, value in network.state_dict().items()}
    folder = tmp_path_factory.mktemp('unlabelled')
    content = {**checkpoint_entries(network, None, provenance), 'state_dict': state}
    torch.save(content, folder / 'depth.ckpt')
    assert main(['export', str(folder / 'depth.ckpt'), '--out', str(folder / 'model.onnx')]) == 0
    return folder / 'model.onnx'


@pytest.fixture
def engine(model):
    opened = open_engine(model)
    yield opened
    opened.close()


def picture():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def test_every_label_is_unknown_and_no_confidence_is_claimed(engine):
    prediction = engine.infer(picture())
    assert set(prediction.labels.ravel()) == {UNKNOWN_ID}
    assert set(prediction.confidence.ravel()) == {0}
    assert prediction.depth_m.std() > 0


def test_the_self_test_passes(engine):
    result = run_self_test(engine)
    assert result is not None
    assert result.passed
    assert result.unknown_label_count == 0


def test_unknown_labels_are_black_and_leave_the_depth_alone(engine):
    prediction = engine.infer(picture())
    assert not colorize_labels(prediction.labels).any()
    depth_m = DepthCorrection(engine.contract).apply(prediction, 1.0).depth_m
    np.testing.assert_array_equal(depth_m, prediction.depth_m)


def test_the_cloud_carries_the_unknown_label(engine):
    image = picture()
    prediction = engine.infer(image)
    builder = PointCloudBuilder(engine.contract.intrinsics, with_labels=True)
    points = builder.build(prediction.depth_m, image, prediction.labels).view(builder.dtype)
    assert set(points['label'].ravel()) == {UNKNOWN_ID}
    assert np.isfinite(points['z']).all()


@pytest.mark.parametrize('name', ['depth.ckpt', 'model.onnx'])
def test_it_is_evaluated_like_any_other(model, tmp_path, capsys, name):
    write_dataset(tmp_path / 'data', frames=3, lidar_at=(0, 1))
    words = ['--model', str(model.with_name(name)), '--data', str(tmp_path / 'data')]
    assert main(['evaluate', *words, '--out', str(tmp_path / 'out')]) == 0
    document = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert document['images'] == 2
    assert document['unscaled']['abs_rel'] > 0
    assert 'per_class' not in document
    assert 'AbsRel' in capsys.readouterr().out
