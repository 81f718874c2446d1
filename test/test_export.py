"""The exported file says what the network says, and where it comes from."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import HEIGHT
from exported_models import PROVENANCE
from exported_models import WIDTH
from exported_models import write_packnet
from torch.nn import functional

from sg_depth_ros.classes import CLASS_NAMES
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import CONTRACT_KEY
from sg_depth_ros.model_file import DIGEST_KEY
from sg_depth_ros.model_file import read_model_file
from training import export
from training.__main__ import main
from training.checkpoint import load_depth_checkpoint
from training.checkpoint import model_contract
from training.exporting.export_model import ExportOptions
from training.exporting.export_model import export_model
from training.exporting.export_model import read_validation
from training.exporting.parity import LIMITS
from training.exporting.trial_images import artificial_image
from training.torch_engine import TorchEngine


def pictures():
    random = np.random.default_rng(3)
    yield random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    yield artificial_image(WIDTH, HEIGHT, 99)
    yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    yield np.full((HEIGHT, WIDTH, 3), 255, np.uint8)


def test_the_file_says_what_the_network_says(exported):
    """Against the network's own outputs, mapped here again by the contract's definition."""
    network = load_depth_checkpoint(exported.checkpoint).network
    engine = open_engine(exported.model)
    depths = []
    for image in pictures():
        with torch.no_grad():
            output = network(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])
            logits = functional.interpolate(
                output.logits, (HEIGHT, WIDTH), mode='bilinear', align_corners=False
            )
        prediction = engine.infer(image)
        expected_m = np.clip(1 / output.inverse_depth[0][0, 0].numpy(), 0.5, 100)
        np.testing.assert_allclose(prediction.depth_m, expected_m, rtol=1e-3)
        assert np.mean(prediction.labels == logits[0].argmax(0).numpy()) >= 0.999
        certainty = 255 * logits.softmax(1)[0].amax(0).numpy()
        assert np.abs(prediction.confidence - certainty).max() <= 1
        depths.append(prediction.depth_m)
    # The comparison is worth something: the depth depends on the image.
    assert np.abs(depths[0] / depths[2] - 1).max() > 0.05
    engine.close()


def test_the_contract_tells_where_the_network_comes_from(exported):
    metadata = {entry.key: entry.value for entry in exported.graph.metadata_props}
    assert list(metadata) == [CONTRACT_KEY, DIGEST_KEY]
    contract = read_model_file(exported.model).contract
    for name in (
        'intrinsics', 'scale_source', 'dataset_sha256', 'config_sha256', 'git_commit',
        'data_licence', 'weights_licence', 'validation',
    ):  # fmt: skip
        assert getattr(contract, name) == getattr(PROVENANCE, name), name
    assert contract.training_stage == 2
    assert contract.metric
    assert (contract.min_depth_m, contract.max_depth_m) == (0.5, 100.0)
    assert contract.class_names == CLASS_NAMES
    assert contract.precision == 'fp32'
    assert contract.network == 'resnet18-8'
    assert (contract.trained_width, contract.trained_height) == (WIDTH, HEIGHT)
    assert re.fullmatch('[0-9a-f]{64}', contract.weights_sha256)
    assert contract.guidance == load_depth_checkpoint(exported.checkpoint).guidance


def test_the_self_test_holds_the_depth_of_the_trained_network(exported):
    engine = open_engine(exported.model)
    result = run_self_test(engine)
    test = engine.contract.self_test
    assert result is not None
    assert test is not None
    assert result.passed
    trained = TorchEngine(load_depth_checkpoint(exported.checkpoint)).infer(test.image)
    np.testing.assert_allclose(test.depth_m, trained.depth_m, rtol=2**-11)
    engine.close()


def test_the_file_tells_nothing_of_the_machine_it_was_made_on(exported):
    content = exported.model.read_bytes()
    for word in (str(Path.cwd()), str(exported.model.parent), 'site-packages', '.py'):
        assert word.encode() not in content


def test_folding_that_changes_the_depth_is_measured_and_tested_as_folded(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('COLUMNS', '200')
    checkpoint, model = tmp_path / 'packnet.ckpt', tmp_path / 'model.onnx'
    write_packnet(checkpoint)
    assert main(['export', str(checkpoint), '--out', str(model), '--fold-packing']) == 0
    printed = ' '.join(capsys.readouterr().out.replace('\u2502', ' ').split())
    assert '5 folded, 0.' in printed
    assert 'the depth changes by' in printed
    assert 'all unknown (255)' in printed
    engine = open_engine(model)
    assert run_self_test(engine).passed
    image = artificial_image(WIDTH, HEIGHT, 0)
    trained = TorchEngine(load_depth_checkpoint(checkpoint)).infer(image)
    # It is not the trained network any more: compared with that, it would have been refused.
    difference = np.abs(engine.infer(image).depth_m / trained.depth_m - 1).max()
    assert difference > LIMITS['fp32'].max_relative_error
    engine.close()


def test_the_contract_states_the_metrics_it_is_given(unguided, tmp_path):
    metrics = tmp_path / 'metrics.json'
    values = {'abs_rel': 0.1, 'rmse': 4.0, 'a1': 0.9}
    document = {'images': 7, 'ground_truth': 'x', 'unscaled': values, 'median_scaled': values}
    metrics.write_text(json.dumps(document))
    model = tmp_path / 'model.onnx'
    arguments = [str(unguided.checkpoint), '--out', str(model), '--metrics', str(metrics)]
    assert export.main(arguments) == 0
    stated = open_engine(model).contract.validation
    assert stated == {
        'images': 7.0,
        **values,
        **{f'median_scaled_{name}': value for name, value in values.items()},
    }


@pytest.mark.parametrize('content', [None, 'text', '{}', '{"ground_truth": 1, "images": "x"}'])
def test_metrics_that_are_none_are_refused(unguided, tmp_path, content):
    metrics, model = tmp_path / 'metrics.json', tmp_path / 'model.onnx'
    if content is not None:
        metrics.write_text(content)
    with pytest.raises(UserError, match=r'metrics\.json'):
        export_model(unguided.checkpoint, model, ExportOptions(metrics=metrics))
    assert not model.exists()


def test_a_model_judged_without_ground_truth_states_no_metrics(tmp_path):
    metrics = tmp_path / 'metrics.json'
    metrics.write_text('{"images": 5, "ground_truth": null, "why": "no LiDAR"}')
    assert read_validation(metrics) == {}


def test_a_licence_of_several_lines_becomes_one(exported):
    loaded = load_depth_checkpoint(exported.checkpoint)
    provenance = replace(
        loaded.provenance, data_licence='CC BY 4.0\n  (our own)', weights_licence='a'
    )
    contract = model_contract(loaded._replace(provenance=provenance), 'fp32', None)
    assert contract.data_licence == 'CC BY 4.0 (our own)'
    assert contract_from_json(contract_to_json(contract)).weights_licence == 'a'
