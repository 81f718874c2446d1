"""The ResNet encoders: published sizes, torchvision's names, loading its weights."""

import re

import pytest
import torch
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.counting import count_parameters
from training.networks.resnet import ResNetEncoder
from training.networks.resnet import load_torchvision_resnet

NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


def torchvision_keys(counts, convolutions, shortcut_stages):
    """Return the names in torchvision's state dict, without the classifier's."""
    keys = {'conv1.weight', *(f'bn1.{n}' for n in NORM)}
    for stage, count in enumerate(counts, start=1):
        for block in range(count):
            prefix = f'layer{stage}.{block}'
            for number in range(1, convolutions + 1):
                keys.add(f'{prefix}.conv{number}.weight')
                keys.update(f'{prefix}.bn{number}.{n}' for n in NORM)
        if stage in shortcut_stages:
            keys.add(f'layer{stage}.0.downsample.0.weight')
            keys.update(f'layer{stage}.0.downsample.1.{n}' for n in NORM)
    return keys


def save(encoder, path, *, change=None):
    """Write a state dict as torchvision does, with a classifier."""
    state = {k: v.clone() for k, v in encoder.state_dict().items()}
    state |= {'fc.weight': torch.zeros(1000, encoder.channels[-1]), 'fc.bias': torch.zeros(1000)}
    if change is not None:
        change(state)
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ('depth', 'parameters', 'channels'),
    [
        (18, 11_176_512, (64, 64, 128, 256, 512)),
        (34, 21_284_672, (64, 64, 128, 256, 512)),
        (50, 23_508_032, (64, 256, 512, 1024, 2048)),
    ],
)
def test_has_the_published_size(depth, parameters, channels):
    with torch.device('meta'):
        encoder = ResNetEncoder(depth)
    assert count_parameters(encoder) == parameters
    assert encoder.channels == channels


@pytest.mark.parametrize(
    ('depth', 'keys'),
    [
        (18, torchvision_keys((2, 2, 2, 2), 2, (2, 3, 4))),
        (34, torchvision_keys((3, 4, 6, 3), 2, (2, 3, 4))),
        (50, torchvision_keys((3, 4, 6, 3), 3, (1, 2, 3, 4))),
    ],
)
def test_names_are_those_of_torchvision(depth, keys):
    assert set(ResNetEncoder(depth, width=4).state_dict()) == keys


@pytest.mark.parametrize('depth', [18, 34, 50])
@pytest.mark.parametrize('width', [8, 12])
def test_features_have_the_promised_channels_and_strides(depth, width):
    encoder = ResNetEncoder(depth, width)
    features = encoder(torch.rand(1, 3, 64, 96))
    expected = [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, (2, 4, 8, 16, 32))
    ]
    assert [tuple(f.shape) for f in features] == expected


def test_bottleneck_strides_in_its_3x3_convolution():
    strides = {
        name: module.stride
        for name, module in ResNetEncoder(50, width=4).named_modules()
        if isinstance(module, nn.Conv2d) and re.fullmatch(r'layer2\.0\.conv\d', name)
    }
    assert strides == {
        'layer2.0.conv1': (1, 1),
        'layer2.0.conv2': (2, 2),
        'layer2.0.conv3': (1, 1),
    }


@pytest.mark.parametrize('depth', [18, 50])
def test_torchvision_weights_load_without_the_classifier(depth, tmp_path):
    torch.manual_seed(0)
    saved = ResNetEncoder(depth, width=8)
    saved(torch.rand(2, 3, 64, 64))  # moves the statistics
    path = save(saved, tmp_path / 'resnet.pth')
    encoder = ResNetEncoder(depth, width=8)
    load_torchvision_resnet(encoder, path)
    image = torch.rand(1, 3, 64, 64)
    for found, expected in zip(encoder.eval()(image), saved.eval()(image)):
        assert torch.equal(found, expected)


def test_files_without_batch_counts_load(tmp_path):
    saved = ResNetEncoder(18, width=8)

    def old(state):
        for key in [k for k in state if k.endswith('num_batches_tracked')]:
            del state[key]

    encoder = ResNetEncoder(18, width=8)
    load_torchvision_resnet(encoder, save(saved, tmp_path / 'old.pth', change=old))
    assert torch.equal(encoder.layer4[1].conv2.weight, saved.layer4[1].conv2.weight)


def test_two_equal_images_give_the_features_of_one(tmp_path):
    torch.manual_seed(0)
    one, two = ResNetEncoder(18, width=8), ResNetEncoder(18, width=8, input_channels=6)
    load_torchvision_resnet(two, save(one, tmp_path / 'resnet.pth'))
    image = torch.rand(1, 3, 64, 64)
    found, expected = two.eval()(torch.cat([image, image], 1))[-1], one.eval()(image)[-1]
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.detach().abs().max()))


def misnamed(state):
    state['layer3.0.conv7.weight'] = state.pop('layer3.0.conv1.weight')


def lacking(state):
    del state['layer3.0.conv1.weight']


def misshapen(state):
    state['layer3.0.conv1.weight'] = torch.zeros(3, 3)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (misnamed, r'layer3\.0\.conv7\.weight is no part of ResNet-18'),
        (lacking, r'layer3\.0\.conv1\.weight of ResNet-18 is missing'),
        (misshapen, r'layer3\.0\.conv1\.weight has shape \(3, 3\)'),
    ],
)
def test_a_key_that_does_not_fit_is_named_and_nothing_is_loaded(change, said, tmp_path):
    path = save(ResNetEncoder(18, width=8), tmp_path / 'resnet.pth', change=change)
    encoder = ResNetEncoder(18, width=8)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    with pytest.raises(UserError, match=said):
        load_torchvision_resnet(encoder, path)
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


@pytest.mark.parametrize(
    ('depth', 'other', 'said'),
    [
        (18, 50, r'layer1\.0\.bn3\.bias is no part of ResNet-18'),
        (50, 34, r'layer1\.0\.bn3\.bias of ResNet-50 is missing'),
    ],
)
def test_weights_of_another_depth_are_refused(depth, other, said, tmp_path):
    path = save(ResNetEncoder(other, width=4), tmp_path / 'resnet.pth')
    with pytest.raises(UserError, match=said):
        load_torchvision_resnet(ResNetEncoder(depth, width=4), path)


def no_file(path):
    pass


def no_weights(path):
    path.write_bytes(b'<html>404</html>')


def no_state_dict(path):
    torch.save({'model': {}, 'epoch': 3}, path)


def a_list(path):
    torch.save([1, 2], path)


def pickled_module(path):
    torch.save(nn.Linear(2, 2), path)


@pytest.mark.parametrize('write', [no_file, no_weights, no_state_dict, a_list, pickled_module])
def test_other_files_are_refused_in_one_line(write, tmp_path):
    path = tmp_path / 'resnet.pth'
    write(path)
    with pytest.raises(UserError, match=r'resnet\.pth: ') as error:
        load_torchvision_resnet(ResNetEncoder(18, width=4), path)
    assert '\n' not in str(error.value)


def test_a_depth_that_is_not_offered_is_refused():
    with pytest.raises(UserError, match='no ResNet-101'):
        ResNetEncoder(101)
