"""Random weights in the formats of torchvision, monodepth2 and packnet-sfm: for tests."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

Weights = dict[str, Tensor]


def _layer(name: str, *shape: int) -> Weights:
    return {
        f'{name}.weight': torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5,
        f'{name}.bias': 0.1 * torch.randn(shape[0]),
    }


def _batch_norm(name: str, channels: int) -> Weights:
    return {
        f'{name}.weight': torch.rand(channels) + 0.5,
        f'{name}.bias': 0.1 * torch.randn(channels),
        f'{name}.running_mean': 0.1 * torch.randn(channels),
        f'{name}.running_var': torch.rand(channels) + 0.5,
        f'{name}.num_batches_tracked': torch.tensor(7),
    }


def resnet18(width: int = 64, images: int = 1) -> Weights:
    """Return torchvision's ResNet-18, with ``width`` channels where it has 64."""
    weights = {'conv1.weight': 0.1 * torch.randn(width, 3 * images, 7, 7)}
    weights |= _batch_norm('bn1', width)
    before = width
    for stage in range(4):
        channels = width * 2**stage
        for block in range(2):
            name = f'layer{stage + 1}.{block}'
            for i, c in ((1, before), (2, channels)):
                weights[f'{name}.conv{i}.weight'] = torch.randn(channels, c, 3, 3) / (3 * c**0.5)
                weights |= _batch_norm(f'{name}.bn{i}', channels)
            if before != channels:
                weights[f'{name}.downsample.0.weight'] = torch.randn(channels, before, 1, 1)
                weights |= _batch_norm(f'{name}.downsample.1', channels)
            before = channels
    return weights | _layer('fc', 1000, before)


def unet_decoder(width: int, channels: tuple[int, ...]) -> Weights:
    """
    Return monodepth2's depth.pth for a ResNet-18.

    :param channels: of the levels, coarse to fine.
    """
    weights: Weights = {}
    before, skips = 8 * width, (4 * width, 2 * width, width, width, 0)
    for level, (c, skip) in enumerate(zip(channels, skips)):
        weights |= _layer(f'decoder.{2 * level}.conv.conv', c, before, 3, 3)
        weights |= _layer(f'decoder.{2 * level + 1}.conv.conv', c, c + skip, 3, 3)
        before = c
    for scale in range(4):
        weights |= _layer(f'decoder.{10 + scale}.conv', 1, channels[4 - scale], 3, 3)
    return weights


def pose_decoder() -> Weights:
    """Return monodepth2's pose.pth for a ResNet-18."""
    weights = _layer('net.0', 256, 512, 1, 1) | _layer('net.1', 256, 256, 3, 3)
    return weights | _layer('net.2', 256, 256, 3, 3) | _layer('net.3', 12, 256, 1, 1)


def below(prefix: str, weights: Weights) -> Weights:
    """Return weights under other names."""
    return {prefix + key: value for key, value in weights.items()}


def write_monodepth2(
    folder: Path, width: int = 8, channels: tuple[int, ...] = (12, 10, 8, 6, 4)
) -> Path:
    """Write a folder as monodepth2's trainer does: the container of before torch 1.6."""
    torch.manual_seed(0)
    folder.mkdir()
    files: dict[str, dict[str, Any]] = {
        'encoder': {
            **below('encoder.', resnet18(width)),
            'height': 192,
            'width': 640,
            'use_stereo': True,
        },
        'depth': unet_decoder(width, channels),
        'pose_encoder': below('encoder.', resnet18(images=2)),
        'pose': pose_decoder(),
    }
    for name, content in files.items():
        torch.save(content, folder / f'{name}.pth', _use_new_zipfile_serialization=False)
    return folder


def _conv(name: str, out: int, channels: int, kernel: int) -> Weights:
    convolution = _layer(f'{name}.conv_base', out, channels, kernel, kernel)
    return convolution | _layer(f'{name}.normalize', out)


def packnet(width: int, filters: int, *, dropout: bool = False) -> Weights:
    """
    Return packnet-sfm's PackNetSlim01 (32 channels, 4 filters) or one like it.

    :param dropout: whether it was built with dropout, which renames the shortcuts.
    """
    c = [width, width, 2 * width, 4 * width, 8 * width, 16 * width]  # at strides 1 to 32
    weights = _conv('pre_calc', c[0], 3, 5) | _conv('conv1', c[1], c[0], 7)
    for stage, blocks in ((2, 2), (3, 2), (4, 3), (5, 3)):
        before = c[stage - 1]
        for block in range(blocks):
            name = f'conv{stage}.{block}'
            weights |= _conv(f'{name}.conv1', c[stage], before, 3)
            weights |= _conv(f'{name}.conv2', c[stage], c[stage], 3)
            shortcut = f'{name}.conv3.0' if dropout else f'{name}.conv3'
            weights |= _layer(shortcut, c[stage], before, 1, 1)
            weights |= _layer(f'{name}.normalize', c[stage])
            before = c[stage]
    for stage, kernel in ((1, 5), (2, 3), (3, 3), (4, 3), (5, 3)):
        weights |= _layer(f'pack{stage}.conv3d', filters, 1, 3, 3, 3)
        weights |= _conv(f'pack{stage}.conv', c[stage], 4 * c[stage] * filters, kernel)
        before = c[min(stage + 1, 5)]
        weights |= _conv(f'unpack{stage}.conv', 4 * c[stage] // filters, before, 3)
        weights |= _layer(f'unpack{stage}.conv3d', filters, 1, 3, 3, 3)
        beside = c[stage - 1] + (1 if stage <= 3 else 0)
        weights |= _conv(f'iconv{stage}', c[stage], c[stage] + beside, 3)
        if stage <= 4:
            weights |= _layer(f'disp{stage}_layer.conv1', 1, c[stage], 3, 3)
    return weights


def posenet() -> Weights:
    """Return packnet-sfm's PoseNet."""
    weights: Weights = {}
    channels = 9
    sizes = ((16, 7), (32, 5), (64, 3), (128, 3), (256, 3), (256, 3), (256, 3))
    for index, (width, kernel) in enumerate(sizes, start=1):
        weights |= _layer(f'conv{index}.0', width, channels, kernel, kernel)
        weights |= _layer(f'conv{index}.1', width)
        channels = width
    return weights | _layer('pose_pred', 12, channels, 1, 1)


def write_packnet_sfm(
    path: Path, depth: Weights, pose: Weights, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Write a checkpoint as packnet-sfm does: with a configuration of a class we do not have."""
    state = below('model.depth_net.', depth) | below('model.pose_net.', pose)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', ModuleType('yacs'))
        patch.setitem(sys.modules, 'yacs.config', module := ModuleType('yacs.config'))
        module.CfgNode = CfgNode  # type: ignore[attr-defined]
        patch.setattr(CfgNode, '__module__', 'yacs.config')
        config = CfgNode(
            model=CfgNode(name='VelSupModel'),
            datasets=CfgNode(augmentation=CfgNode(image_shape=(384, 640))),
        )
        torch.save({'config': config, 'epoch': 3, 'state_dict': state}, path)
    return path


class CfgNode(dict[str, Any]):
    """Is pickled as the class of the same name in yacs: a dictionary with attributes."""

    def __init__(self, **entries: Any) -> None:
        super().__init__(**entries)
        self.__dict__ |= {'__immutable__': False, '__deprecated_keys__': set()}


def rewrite(path: Path, change: Mapping[str, Any], *, without: str | None = None) -> None:
    """Change a file of tensors by name; another link to it stays as it is."""
    content = {**torch.load(path, weights_only=True), **change}
    content.pop(without or '', None)
    path.unlink()
    torch.save(content, path)
