"""Starting a training from the weights of another, or from imported ones."""

from pathlib import Path
from typing import Literal

from torch import nn

from sg_depth_ros.errors import UserError
from training.checkpoint import LoadedDepth
from training.checkpoint import load_depth_checkpoint
from training.networks.guided import GuidedDepthNetwork
from training.networks.pose import PoseNetworkConfig
from training.networks.segmentation import is_segmentation_checkpoint
from training.networks.segmentation import load_segmentation_checkpoint
from training.provenance import Provenance

InitialParts = Literal['encoder', 'all']


def start_from(
    path: Path,
    parts: InitialParts,
    network: GuidedDepthNetwork,
    pose: nn.Module,
    pose_config: PoseNetworkConfig,
) -> str:
    """
    Give networks the weights of a depth checkpoint.

    :param path: a checkpoint of ``train`` or ``import``; for the encoder also one of ``segment``,
        whose ResNet has seen the same pictures already (ours).
    :param parts: the depth network's ``encoder`` only, or ``all``: its encoder and decoder, and
        guidance and pose network where both are of the same kind.
    :param network: gets them; its semantic network keeps its own.
    :param pose: gets them; ``pose_config`` is what it was built from.
    :return: the licence of the weights, which binds what grows from them.
    :raises UserError: where they do not fit.
    """
    if parts == 'encoder' and is_segmentation_checkpoint(path):
        _transfer(
            path, 'encoder', load_segmentation_checkpoint(path).encoder, network.depth.encoder
        )
        return Provenance.weights_licence
    loaded = load_depth_checkpoint(path)
    _transfer(path, 'encoder', loaded.network.depth.encoder, network.depth.encoder)
    licence = loaded.provenance.weights_licence
    if parts == 'encoder':
        return licence
    _check_mapping(path, loaded, network)
    _transfer(path, 'decoder', loaded.network.depth.decoder, network.depth.decoder)
    if _guidance_of(network) == _guidance_of(loaded.network):
        _transfer(path, 'guidance', loaded.network.depth.guidance, network.depth.guidance)
    if loaded.pose is not None and loaded.pose_config == pose_config:
        _transfer(path, 'pose network', loaded.pose, pose)
    return licence


def _transfer(path: Path, part: str, source: nn.Module, goal: nn.Module) -> None:
    try:
        goal.load_state_dict(source.state_dict())
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(
            f'{path}: its {part} does not fit the network to train; set model.network alike '
            f'({reason})'
        ) from error


def _check_mapping(path: Path, loaded: LoadedDepth, network: GuidedDepthNetwork) -> None:
    theirs, ours = loaded.config.mapping.bounds, network.config.mapping.bounds
    if theirs != ours:
        raise UserError(
            f'{path}: its heads say inverse depth as {theirs}, those of the network to train as '
            f'{ours}; set inverse_depth, min_depth_m and max_depth_m of model.network alike'
        )


def _guidance_of(network: GuidedDepthNetwork) -> tuple[object, ...]:
    """Return what must be equal for the weights of guidance to fit and to mean the same."""
    config, semantic = network.config, network.segmentation
    maps = None if semantic is None else (semantic.feature_channels, semantic.feature_strides)
    return config.guidance, config.guided_strides, config.guidance_channels, maps
