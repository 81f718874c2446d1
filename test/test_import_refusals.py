"""Weights that do not fit, or could run code, are refused by the name of what is wrong."""

import os
import re
from pathlib import Path

import pytest
import torch
from importing import CAMERA
from importing import imported
from original_weights import rewrite

from sg_depth_ros.errors import UserError
from training import import_weights
from training.networks.weights.reading import read_entries


def refusal(weights: Path, kind: str, *options: str) -> str:
    """Import, expect a refusal that leaves no file, and return its line."""
    out = weights.parent / 'refused.ckpt'
    with pytest.raises(UserError) as error:
        import_weights.main([str(weights), '--as', kind, '--out', str(out), *(options or CAMERA)])
    assert not out.exists()
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ('file', 'change', 'without', 'named'),
    [
        (
            'encoder',
            {'encoder.layer5.weight': torch.zeros(1)},
            None,
            'encoder.layer5.weight is no',
        ),
        ('encoder', {}, 'encoder.bn1.running_mean', 'encoder.bn1.running_mean of .* is missing'),
        (
            'encoder',
            {'encoder.bn1.bias': torch.zeros(3)},
            None,
            r'encoder.bn1.bias has shape \(3,',
        ),
        ('encoder', {'encoder.bn1.bias': 'text'}, None, 'encoder.bn1.bias is no tensor'),
        (
            'encoder',
            {'encoder.layer3.2.conv1.weight': torch.zeros(1)},
            None,
            'layer3 has 3 blocks',
        ),
        ('encoder', {'module.encoder.bn1.bias': torch.zeros(8)}, None, 'bn1.bias is there twice'),
        (
            'depth',
            {'decoder.14.conv.bias': torch.zeros(1)},
            None,
            'decoder.14.conv.bias is no part',
        ),
        ('depth', {}, 'decoder.10.conv.bias', 'depth.pth: decoder.10.conv.bias of .* is missing'),
        ('depth', {}, 'decoder.4.conv.conv.weight', 'decoder.4.conv.conv.weight is missing'),
        ('pose', {'net.3.bias': torch.zeros(6)}, None, 'net.3.bias has shape .*--without-pose'),
        ('pose_encoder', {'encoder.conv1.weight': torch.zeros(64, 9, 7, 7)}, None, 'conv1.weight'),
    ],
)
def test_a_key_of_monodepth2_that_does_not_fit_is_named(monodepth2, file, change, without, named):
    rewrite(monodepth2 / f'{file}.pth', change, without=without)
    assert re.search(named, refusal(monodepth2, 'monodepth2'))


def test_a_pose_network_of_another_kind_can_be_left_out(monodepth2):
    (monodepth2 / 'pose_encoder.pth').unlink()
    assert 'shared or posecnn' in refusal(monodepth2, 'monodepth2')
    assert imported(monodepth2, 'monodepth2', *CAMERA, '--without-pose').pose is None


@pytest.mark.parametrize(
    ('change', 'without', 'named'),
    [
        ({'model.depth_net.conv9.weight': torch.zeros(1)}, None, 'depth_net.conv9.weight is no'),
        ({'model.other.weight': torch.zeros(1)}, None, 'model.other.weight is part of neither'),
        ({}, 'model.depth_net.pack3.conv3d.bias', 'depth_net.pack3.conv3d.bias of .* is missing'),
        (
            {'model.depth_net.iconv5.conv_base.weight': torch.zeros(256, 128, 3, 3)},
            None,
            'version B',
        ),
        ({'model.pose_net.pose_pred.bias': torch.zeros(6)}, None, 'pose_pred.bias has shape'),
        ({}, 'model.depth_net.pre_calc.conv_base.weight', 'no PackNet01, PackNetSlim01 or'),
    ],
)
def test_a_key_of_packnet_that_does_not_fit_is_named(packnet_sfm, change, without, named):
    state = {**read_entries(packnet_sfm, '')['state_dict'], **change}
    state.pop(without, None)
    packnet_sfm.unlink()
    torch.save(state, packnet_sfm)
    assert re.search(named, refusal(packnet_sfm, 'packnet-sfm'))


def test_nothing_in_a_file_is_run(tmp_path):
    class Malice:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'was-run'),)

    torch.save({'state_dict': {}, 'config': Malice()}, tmp_path / 'evil.ckpt')
    message = refusal(tmp_path / 'evil.ckpt', 'packnet-sfm')
    assert 'mkdir, which is not loaded because it could run code' in message
    assert 'torch.save(c[' in message
    assert not (tmp_path / 'was-run').exists()


def test_the_stand_in_for_yacs_is_known_only_while_a_file_is_read(packnet_sfm):
    before = set(torch.serialization.get_safe_globals())
    config = read_entries(packnet_sfm, '')['config']
    assert config['model']['name'] == 'VelSupModel'
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize('content', [b'', b'no weights', None])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / 'weights.ckpt'
    if content is not None:
        path.write_bytes(content)
    assert str(path) in refusal(path, 'packnet-sfm')
    assert 'is no folder' in refusal(path, 'monodepth2')


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (['--metric'], 'which camera'),
        (['--intrinsics', '1', '1', '0', '0'], 'go together'),
        (['--intrinsics', '1', '1', '0', '0', '--size', '100', '96'], '100x96'),
        (['--intrinsics', '0', '1', '0', '0', '--size', '128', '96'], 'uncalibrated'),
        ([*CAMERA, '--data', 'somewhere'], 'either --data, or'),
    ],
)
def test_a_camera_is_asked_for(monodepth2, options, named):
    assert named in refusal(monodepth2, 'monodepth2', *options)


def test_only_networks_that_can_carry_it_take_a_depth_factor(packnet_sfm):
    message = refusal(packnet_sfm, 'packnet-sfm', *CAMERA, '--depth-factor', '2')
    assert 'is for monodepth2' in message


@pytest.mark.parametrize(
    ('filters', 'named'),
    [
        (2, 'pack1.conv3d.weight has 2 filters'),
        (4, 'pre_calc.conv_base.bias of packnet01_slim is missing'),
        (8, 'pre_calc.conv_base.bias of packnet01-32 is missing'),
    ],
)
def test_the_filters_tell_the_two_packnets_apart(tmp_path, filters, named):
    weights = {
        'pre_calc.conv_base.weight': torch.zeros(32, 3, 5, 5),
        'pack1.conv3d.weight': torch.zeros(filters, 1, 3, 3, 3),
        'unpack5.conv.conv_base.weight': torch.zeros(64, 512, 3, 3),
        'iconv5.conv_base.weight': torch.zeros(256, 384, 3, 3),
    }
    torch.save(weights, tmp_path / 'p.pth')
    assert named in refusal(tmp_path / 'p.pth', 'packnet-sfm')
