"""
Checkpoints of packnet-sfm (https://github.com/TRI-ML/packnet-sfm, Guizilini et al., CVPR 2020).

One file holds the depth network (PackNet01, PackNetSlim01 or DepthResNet), the pose network
(PoseNet or PoseResNet), the configuration and the state of the training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sg_depth_ros.errors import UserError
from training.networks.depth import PACKNET_SHAPES
from training.networks.depth import DepthNetwork
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import build_pose_network
from training.networks.weights.imported import Imported
from training.networks.weights.imported import ImportedPose
from training.networks.weights.packnet import PACKNET_NAMES
from training.networks.weights.packnet import POSENET_NAMES
from training.networks.weights.reading import read_entries
from training.networks.weights.renaming import Source
from training.networks.weights.renaming import fit
from training.networks.weights.renaming import without_wrappers
from training.networks.weights.unet import load_pose_resnet
from training.networks.weights.unet import load_unet

ADVICE = 'give a checkpoint (.ckpt) of packnet-sfm'
LICENCE = (
    'packnet-sfm (Toyota Research Institute): code MIT; its published weights were trained on '
    'KITTI, Cityscapes or DDAD, whose terms are non-commercial'
)
NO_POSE = '--without-pose imports depth alone'
# What the networks are called in a checkpoint; the second names are those of the first releases.
DEPTH_PARTS = ('depth_net', 'disp_network')
POSE_PARTS = ('pose_net', 'pose_network')
# With dropout a shortcut is a sequence that starts with the convolution.
DROPOUT = ('.conv3.0.', '.conv3.')
# Filters of the 3-D convolutions by which the two PackNets differ.
PACKNETS = {shape.features_3d: name for name, shape in PACKNET_SHAPES.items()}
# Their models whose depth is in metres, and why.
METRIC_MODELS = {
    'VelSupModel': 'by the measured speed',
    'SemiSupModel': 'by measured depth',
    'SemiSupCompletionModel': 'by measured depth',
}


def read_packnet_sfm(path: Path, with_pose: bool) -> Imported:
    """
    Read a checkpoint, or the state dict of one.

    :param path: the file.
    :param with_pose: whether to read the pose network, where there is one.
    :raises UserError: naming the key that does not fit.
    """
    entries = read_entries(path, ADVICE)
    state = entries.get('state_dict', entries)
    if not isinstance(state, Mapping) or not state:
        raise UserError(f'{path}: state_dict holds no tensors by name; {ADVICE}')
    depth_source, pose_source = _parts(path, state)
    config, depth = _depth_network(depth_source)
    pose = _pose_network(pose_source) if with_pose and pose_source.weights else None
    return Imported(config, depth, pose, (path,), LICENCE, _facts(entries.get('config')))


def _parts(path: Path, state: Mapping[str, Any]) -> tuple[Source, Source]:
    """Tell depth and pose network apart by the beginnings of their names."""
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f'{path}: {key} is no tensor; {ADVICE}')
    whole = without_wrappers(state, str(path))
    depth, pose = _part(whole, DEPTH_PARTS), _part(whole, POSE_PARTS)
    if not depth.weights and not pose.weights:
        return whole, pose  # the state dict of a depth network alone
    used = tuple(part.prefix for part in (depth, pose) if part.weights)
    for key in whole.weights:
        if not key.startswith(used):
            raise UserError(f'{path}: {key} is part of neither depth nor pose network')
    return depth, pose


def _part(whole: Source, names: tuple[str, ...]) -> Source:
    for name in names:
        for prefix in (f'model.{name}.', f'{name}.'):
            part = whole.below(prefix)
            if part.weights:
                return part
    return Source(whole.where, {})


def _depth_network(source: Source) -> tuple[DepthNetworkConfig, DepthNetwork]:
    if 'pre_calc.conv_base.weight' in source.weights:
        return _packnet(source)
    first = next(iter(source.weights), 'no depth network')
    if 'encoder.encoder.conv1.weight' not in source.weights:
        raise UserError(
            f'{source.where}: no PackNet01, PackNetSlim01 or DepthResNet, but {first}; {ADVICE}'
        )
    for key in source.weights:
        if not key.startswith(('encoder.', 'decoder.')):
            raise UserError(f'{source.where}: {source.prefix}{key} is no part of DepthResNet')
    return load_unet(source.below('encoder.'), source.below('decoder.'))


def _packnet(source: Source) -> tuple[DepthNetworkConfig, DepthNetwork]:
    weights = {key.replace(*DROPOUT): value for key, value in source.weights.items()}
    if len(weights) == len(source.weights):
        source = source._replace(weights=weights)
    filters = source.channels('pack1.conv3d.weight')
    if filters not in PACKNETS:
        raise UserError(
            f'{source.where}: {source.prefix}pack1.conv3d.weight has {filters} filters; those of '
            f'PackNet01 and PackNetSlim01 have {sorted(PACKNETS, reverse=True)}'
        )
    unpacked = filters * source.channels('unpack5.conv.conv_base.weight') // 4
    if source.channels('iconv5.conv_base.weight', 1) <= unpacked:
        raise UserError(
            f'{source.where}: PackNet of version B, which adds the skips; only version A, which '
            'concatenates them, can be imported'
        )
    width, architecture = source.channels('pre_calc.conv_base.weight'), PACKNETS[filters]
    config = DepthNetworkConfig(
        architecture=architecture,
        encoder_width=None if width == PACKNET_SHAPES[architecture].channels[0] else width,
        pack_padding='each',
        guidance='none',
        inverse_depth='open',
    )
    network = build_depth_network(config)
    fit(network, source, PACKNET_NAMES, config.name)
    return config, network


def _pose_network(source: Source) -> ImportedPose:
    if 'conv1.0.weight' in source.weights:
        config = PoseNetworkConfig('posenet', normalized_input=False)
        network = build_pose_network(config)
        try:
            fit(network, source, POSENET_NAMES, 'PoseNet')
        except UserError as error:
            raise UserError(f'{error}; {NO_POSE}') from error
        return ImportedPose(config, network)
    # Its numbers of a rotation are used as Euler angles, whatever its decoder calls them.
    config = PoseNetworkConfig('resnet18', rotation='euler', pair_order='target_first')
    return load_pose_resnet(source.below('encoder.'), source.below('decoder.'), config, NO_POSE)


def _facts(config: object) -> tuple[str, ...]:
    """Say what a checkpoint's configuration tells of the training."""
    facts = []
    shape = _entry(config, 'datasets', 'augmentation', 'image_shape')
    if isinstance(shape, tuple | list) and len(shape) == 2:
        facts.append(f'trained on images of {shape[1]}x{shape[0]}')
    model = _entry(config, 'model', 'name')
    if model in METRIC_MODELS:
        facts.append(f'trained as {model}: its depth was made metric {METRIC_MODELS[model]}')
    return tuple(facts)


def _entry(config: object, *names: str) -> Any:
    for name in names:
        config = config.get(name) if isinstance(config, Mapping) else None
    return config
