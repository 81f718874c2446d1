"""A network can be exported at another image size than it was trained at, and says so."""

import numpy as np
import pytest
from exported_models import HEIGHT
from exported_models import PROVENANCE
from exported_models import WIDTH

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.errors import UserError
from training.__main__ import main
from training.checkpoint import load_depth_checkpoint
from training.exporting.image_size import exported_camera
from training.exporting.image_size import size_warnings
from training.torch_engine import ExportableModel

CAMERA = Intrinsics(370.0, 360.0, 313.0, 88.0, 640, 192)


def test_the_size_of_a_file_is_the_one_asked_for(unguided, tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setenv('COLUMNS', '200')
    model = tmp_path / 'model.onnx'
    size = ['--width', '160', '--height', '96']
    assert main(['export', str(unguided.checkpoint), '--out', str(model), *size]) == 0
    printed = capsys.readouterr().out
    assert '160x96, trained at 96x64' in printed
    assert 'trained at 96x64, exported at 160x96' in printed
    assert 'images become 11 % wider' in printed
    engine = open_engine(model)
    contract, test = engine.contract, engine.contract.self_test
    assert (contract.width, contract.height) == (160, 96)
    assert (contract.trained_width, contract.trained_height) == (WIDTH, HEIGHT)
    trained = PROVENANCE.intrinsics
    assert contract.intrinsics.fx == pytest.approx(trained.fx * 160 / WIDTH)
    assert contract.intrinsics.fy == pytest.approx(trained.fy * 96 / HEIGHT)
    # The rays through the image's corners stay: pixel centres lie at whole numbers.
    assert contract.intrinsics.horizontal_fov_deg() == pytest.approx(trained.horizontal_fov_deg())
    assert test.image.shape == (96, 160, 3)
    assert run_self_test(engine).passed
    network = ExportableModel(load_depth_checkpoint(unguided.checkpoint).network)
    with torch.no_grad():
        depth_m = network(torch.from_numpy(test.image)[None])[0][0].numpy()
    np.testing.assert_allclose(engine.infer(test.image).depth_m, depth_m, rtol=1e-3)
    engine.close()


@pytest.mark.parametrize(
    ('width', 'height', 'size'),
    [
        (None, None, (640, 192)),
        (1280, 384, (1280, 384)),
        (1280, None, (1280, 384)),
        (None, 96, (320, 96)),
        (480, None, (480, 128)),  # 144 would keep the aspect ratio
        (64, None, (64, 64)),  # 19 would
    ],
)
def test_one_side_alone_keeps_the_aspect_ratio_as_well_as_it_can(width, height, size):
    camera = exported_camera(CAMERA, width, height)
    assert (camera.width, camera.height) == size
    assert camera == CAMERA.resized(*size)


@pytest.mark.parametrize(
    ('sides', 'message'),
    [
        ((650, 192), 'multiple of 32, such as 640 or 672'),
        ((640, 100), '--height 100'),
        ((32, 192), 'at least 64'),
        ((-64, None), 'at least 64'),
        ((None, 0), 'at least 64'),
        ((1 << 20, None), 'at most'),
    ],
)
def test_a_size_that_networks_cannot_take_is_refused(sides, message):
    with pytest.raises(UserError, match=message):
        exported_camera(CAMERA, *sides)


def test_the_trained_size_needs_no_warning():
    assert size_warnings(CAMERA, CAMERA, True) == ()


def test_a_size_of_the_same_shape_is_warned_of_once():
    (warning,) = size_warnings(CAMERA, CAMERA.resized(1280, 384), True)
    assert 'metrics that the contract states are of the trained size' in warning
    (warning,) = size_warnings(CAMERA, CAMERA.resized(320, 96), False)
    assert 'accuracy' in warning


def test_another_shape_is_told_by_how_much():
    wider = size_warnings(CAMERA, CAMERA.resized(640, 128), False)[1]
    narrower = size_warnings(CAMERA, CAMERA.resized(640, 256), False)[1]
    assert '50 % wider' in wider
    assert '25 % narrower' in narrower
