"""
Names in monodepth2's ResNet networks, which packnet-sfm has taken over.

Their decoders number all convolutions through: first two per level, coarse to fine, then the
heads, fine to coarse.
"""

from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.depth import RESNET_WIDTH
from training.networks.depth import Architecture
from training.networks.depth import DepthNetwork
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.inverse_depth import LEVEL_STRIDES
from training.networks.inverse_depth import SCALE_COUNT
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import PoseResNet
from training.networks.pose import build_pose_network
from training.networks.weights.imported import ImportedPose
from training.networks.weights.renaming import Source
from training.networks.weights.renaming import fit

# Their disp_to_depth(s, 0.1, 100) is our bounded mapping.
MIN_DEPTH_M = 0.1
MAX_DEPTH_M = 100.0
# Blocks of the third stage by which torchvision's ResNets differ: (blocks, is a bottleneck).
ARCHITECTURES: dict[tuple[int, bool], Architecture] = {
    (2, False): 'resnet18',
    (6, False): 'resnet34',
    (6, True): 'resnet50',
}
ENCODER_NAMES = {'encoder': ''}
CLASSIFIER = ('encoder.fc',)
LEVEL_COUNT = len(LEVEL_STRIDES)
DECODER_NAMES = {
    **{f'decoder.{2 * i}.conv.conv': f'levels.{i}.conv_in.0' for i in range(LEVEL_COUNT)},
    **{f'decoder.{2 * i + 1}.conv.conv': f'levels.{i}.conv_out.0' for i in range(LEVEL_COUNT)},
    **{
        f'decoder.{2 * LEVEL_COUNT + scale}.conv': f'heads.{SCALE_COUNT - 1 - scale}.conv'
        for scale in range(SCALE_COUNT)
    },
}
POSE_DECODER_NAMES = {'net.0': 'squeeze', 'net.1': 'conv1', 'net.2': 'conv2', 'net.3': 'motion'}


def detect_resnet(encoder: Source) -> Architecture:
    """
    Tell which ResNet an encoder is.

    :param encoder: names as in ``encoder.conv1.weight``.
    :raises UserError: where it is none of ours.
    """
    blocks = {key.split('.')[2] for key in encoder.weights if key.startswith('encoder.layer3.')}
    is_bottleneck = 'encoder.layer3.0.conv3.weight' in encoder.weights
    if (len(blocks), is_bottleneck) not in ARCHITECTURES:
        raise UserError(
            f'{encoder.where}: {encoder.prefix}encoder.layer3 has {len(blocks)} blocks; the '
            f'encoder must be one of {", ".join(ARCHITECTURES.values())}'
        )
    return ARCHITECTURES[len(blocks), is_bottleneck]


def unet_config(encoder: Source, decoder: Source, depth_factor: float) -> DepthNetworkConfig:
    """
    Return what the network of these weights is built from.

    :param encoder: names as in ``encoder.conv1.weight``.
    :param decoder: names as in ``decoder.0.conv.conv.weight``.
    :param depth_factor: their depth times this is ours.
    :raises UserError: where it is no such network.
    """
    architecture = detect_resnet(encoder)
    width = encoder.channels('encoder.conv1.weight')
    c = [decoder.channels(f'decoder.{2 * i}.conv.conv.weight') for i in range(LEVEL_COUNT)]
    defaults = DepthNetworkConfig(guidance='none')
    return DepthNetworkConfig(
        architecture=architecture,
        encoder_width=None if width == RESNET_WIDTH else width,
        decoder_channels=(c[0], c[1], c[2], c[3], c[4]),
        guidance='none',
        min_depth_m=MIN_DEPTH_M * depth_factor,
        max_depth_m=MAX_DEPTH_M * depth_factor,
        initial_depth_m=defaults.initial_depth_m * depth_factor,
    )


def load_unet(
    encoder: Source, decoder: Source, depth_factor: float = 1.0
) -> tuple[DepthNetworkConfig, DepthNetwork]:
    """
    Build the depth network of these weights.

    :param encoder: names as in ``encoder.conv1.weight``.
    :param decoder: names as in ``decoder.0.conv.conv.weight``.
    :param depth_factor: their depth times this is ours, exactly: the bounds of depth carry it.
    :raises UserError: naming what does not fit.
    """
    config = unet_config(encoder, decoder, depth_factor)
    network = build_depth_network(config)
    fit(network.encoder, encoder, ENCODER_NAMES, f'the encoder of {config.name}', CLASSIFIER)
    fit(network.decoder, decoder, DECODER_NAMES, f'the decoder of {config.name}')
    return config, network


def load_pose_resnet(
    encoder: Source, decoder: Source, config: PoseNetworkConfig, advice: str
) -> ImportedPose:
    """
    Build the pose network of these weights.

    :param encoder: of two stacked images, names as in ``encoder.conv1.weight``.
    :param decoder: names as in ``net.0.weight``.
    :param config: how it was used.
    :param advice: what to do without it, for messages.
    :raises UserError: naming what does not fit.
    """
    what = 'the pairwise pose network with ResNet-18'
    network = build_pose_network(config)
    assert isinstance(network, PoseResNet), config
    try:
        if detect_resnet(encoder) != 'resnet18':
            raise UserError(f'{encoder.where}: a deeper pose network than ResNet-18')
        fit(network.encoder, encoder, ENCODER_NAMES, what, CLASSIFIER)
        rest = {name: network.get_submodule(name) for name in POSE_DECODER_NAMES.values()}
        fit(nn.ModuleDict(rest), decoder, POSE_DECODER_NAMES, what)
    except UserError as error:
        raise UserError(f'{error}; {advice}') from error
    return ImportedPose(config, network)
