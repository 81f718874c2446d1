"""The semantic network: shapes, learning, freezing, checkpoints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import load_segmentation_checkpoint
from training.networks.segmentation import segmentation_checkpoint
from training.objective.segmentation_module import cross_entropy
from training.objective.segmentation_module import upsample

TINY = SegmentationConfig(width=8, pyramid_channels=16)


def tiny_network(seed: int = 0) -> SegmentationNetwork:
    torch.manual_seed(seed)
    return SegmentationNetwork(TINY)


@pytest.mark.parametrize('depth', [18, 34, 50])
def test_gives_features_at_four_strides_and_logits_at_stride_four(depth):
    network = SegmentationNetwork(replace(TINY, encoder_depth=depth))
    output = network(torch.rand(2, 3, 64, 96))
    assert output.logits.shape == (2, 19, 16, 24)
    expected = [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(network.feature_channels, network.feature_strides)
    ]
    assert [f.shape for f in output.features] == expected
    assert network.feature_strides == (32, 16, 8, 4)


def test_refuses_an_image_that_strides_do_not_divide():
    with pytest.raises(ValueError, match='multiples of 32'):
        tiny_network()(torch.rand(1, 3, 64, 80))


@pytest.mark.parametrize(
    'wrong',
    [{'width': 0}, {'pyramid_channels': 12}, {'encoder_depth': 19}, {'class_count': 20}],
)
def test_refuses_a_configuration_that_is_no_network(wrong):
    with pytest.raises(UserError):
        SegmentationNetwork(SegmentationConfig(**wrong))


def test_learns_two_images_by_heart():
    torch.manual_seed(1)
    # Four quarters of different colour and class, mirrored in the second image.
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    labels[0, :32, 32:], labels[0, 32:, :32], labels[0, 32:, 32:] = 1, 2, 3
    labels[1] = labels[0].flip(-1)
    colors = torch.rand(4, 3)
    image = colors[labels.long()].permute(0, 3, 1, 2) + 0.05 * torch.rand(2, 3, 64, 64)
    network = tiny_network().train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(40):
        loss = cross_entropy(network(image).logits, labels, torch.ones(19))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    predicted = upsample(network(image).logits, labels).argmax(dim=1)
    assert (predicted == labels).float().mean() > 0.97


def test_unknown_pixels_neither_cost_nor_teach():
    torch.manual_seed(2)
    logits = torch.randn(1, 19, 8, 8, requires_grad=True)
    labels = torch.randint(0, 19, (1, 8, 8), dtype=torch.uint8)
    labels[:, :, 4:] = 255
    loss = cross_entropy(logits, labels, torch.ones(19))
    known = nn.functional.cross_entropy(logits[:, :, :, :4], labels[:, :, :4].long())
    assert torch.allclose(loss, known)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[..., 4:] == 0).all()
    assert (gradient[..., :4] != 0).all()


def test_a_batch_without_any_known_pixel_costs_nothing():
    logits = torch.randn(1, 19, 8, 8, requires_grad=True)
    labels = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    loss = cross_entropy(logits, labels, torch.ones(19))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_class_weights_weigh_as_torch_does():
    torch.manual_seed(3)
    logits = torch.randn(2, 19, 8, 8)
    labels = torch.randint(0, 19, (2, 8, 8), dtype=torch.uint8)
    weights = torch.rand(19)
    expected = nn.functional.cross_entropy(logits, labels.long(), weights)
    assert torch.allclose(cross_entropy(logits, labels, weights), expected)


def test_frozen_network_stays_the_same_while_what_surrounds_it_trains():
    class Surrounding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.guide = tiny_network().freeze()
            self.own = nn.Sequential(nn.Conv2d(16, 1, 1), nn.BatchNorm2d(1))

        def forward(self, image):
            return self.own(self.guide(image).features[-1])

    module = Surrounding()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(3):
        module.train()
        optimizer.zero_grad()
        module(torch.rand(2, 3, 64, 64)).square().mean().backward()
        optimizer.step()
    after = module.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert not [k for k in changed if k.startswith('guide.')]
    assert 'own.0.weight' in changed
    assert 'own.1.running_mean' in changed
    assert not any(m.training for m in module.guide.modules())


def test_unfrozen_network_changes_when_it_trains():
    network = tiny_network()
    before = network.encoder.bn1.running_mean.clone()
    network.train()(torch.rand(2, 3, 64, 64))
    assert not torch.equal(before, network.encoder.bn1.running_mean)


def test_checkpoint_gives_the_same_network_back(tmp_path):
    network = tiny_network().eval()
    path = tmp_path / 'segmentation.ckpt'
    torch.save(segmentation_checkpoint(network), path)
    loaded = load_segmentation_checkpoint(path)
    image = torch.rand(1, 3, 64, 64)
    assert loaded.config == TINY
    assert not loaded.training
    assert torch.equal(loaded(image).logits, network(image).logits)


def not_a_checkpoint(path: Path) -> None:
    path.write_bytes(b'not a checkpoint')


def empty_file(path: Path) -> None:
    path.write_bytes(b'')


def truncated(path: Path) -> None:
    torch.save(segmentation_checkpoint(tiny_network()), path)
    path.write_bytes(path.read_bytes()[:5000])


def another_network(path: Path) -> None:
    torch.save({'state_dict': nn.Linear(2, 2).state_dict()}, path)


def a_tensor(path: Path) -> None:
    torch.save(torch.zeros(2), path)


def pickled_object(path: Path) -> None:
    torch.save({'segmentation_config': SegmentationConfig(), 'state_dict': {}}, path)


def missing_weights(path: Path) -> None:
    content = segmentation_checkpoint(tiny_network())
    del content['state_dict']['network.head.bias']
    torch.save(content, path)


def no_weights(path: Path) -> None:
    torch.save({'segmentation_config': {}}, path)


def unknown_option(path: Path) -> None:
    content = segmentation_checkpoint(tiny_network())
    content['segmentation_config']['colour'] = 3
    torch.save(content, path)


@pytest.mark.parametrize(
    'write',
    [
        not_a_checkpoint,
        empty_file,
        truncated,
        another_network,
        a_tensor,
        pickled_object,
        missing_weights,
        no_weights,
        unknown_option,
        lambda path: None,
        lambda path: path.mkdir(),
    ],
)
def test_refuses_other_files_in_one_line(write, tmp_path):
    path = tmp_path / 'file.ckpt'
    write(path)
    with pytest.raises(UserError) as error:
        load_segmentation_checkpoint(path)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)


def test_exported_graph_gives_what_torch_gives(tmp_path):
    network = tiny_network().freeze()
    image = torch.rand(1, 3, 64, 96)
    path = tmp_path / 'segmentation.onnx'
    torch.onnx.export(network, (image,), path, opset_version=18, dynamo=True, verbose=False)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert not operators & {'Shape', 'Gather', 'Loop', 'If', 'GridSample'}
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    found = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    logits, features = network(image)
    for array, tensor in zip(found, (logits, *features)):
        np.testing.assert_allclose(array, tensor.numpy(), atol=1e-4)
