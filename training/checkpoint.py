"""
Depth checkpoints: what they hold beside the weights, and reading them back.

A checkpoint is Lightning's, with plain entries added, so that it is read with
``weights_only=True``: nothing in it can run code.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any
from typing import NamedTuple

from torch import nn

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CITYSCAPES
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import Precision
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.errors import UserError
from training.checkpoint_file import NETWORK_PREFIX
from training.checkpoint_file import POSE_PREFIX
from training.checkpoint_file import read_checkpoint
from training.checkpoint_file import state_below
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import build_pose_network
from training.networks.semantic_source import build_semantic
from training.networks.semantic_source import semantic_entry
from training.provenance import ENCODER_ONLY
from training.provenance import Provenance

NETWORK_KEY = 'depth_network_config'
SEMANTIC_KEY = 'depth_semantic_network'
POSE_KEY = 'depth_pose_config'
PROVENANCE_KEY = 'depth_provenance'


class LoadedDepth(NamedTuple):
    """A depth network in evaluation mode, and where it comes from."""

    network: GuidedDepthNetwork
    provenance: Provenance
    pose: nn.Module | None = None  # what it was trained with, to go on training
    pose_config: PoseNetworkConfig | None = None

    @property
    def config(self) -> DepthNetworkConfig:
        """Return what the depth network is built from."""
        return self.network.config

    @property
    def guidance(self) -> str:
        """Return the guidance operator."""
        return self.network.config.guidance

    @property
    def metric(self) -> bool:
        """Return whether its depth is in metres."""
        return self.provenance.scale_source != 'none'


def checkpoint_entries(
    network: GuidedDepthNetwork, pose: PoseNetworkConfig | None, provenance: Provenance
) -> dict[str, Any]:
    """Return the plain entries that a depth checkpoint holds beside Lightning's."""
    return {
        NETWORK_KEY: asdict(network.config),
        SEMANTIC_KEY: semantic_entry(network.segmentation),
        POSE_KEY: None if pose is None else asdict(pose),
        PROVENANCE_KEY: asdict(provenance),
    }


def load_depth_checkpoint(path: Path) -> LoadedDepth:
    """
    Read the network that ``train`` or ``import`` wrote, on the CPU and in evaluation mode.

    :raises UserError: where the file is missing, damaged or holds another network.
    """
    advice = 'give a checkpoint written by "python -m training train" or "import"'
    content = read_checkpoint(path, advice)
    if NETWORK_KEY not in content:
        raise UserError(f'{path}: holds no depth network ({NETWORK_KEY} is missing); {advice}')
    try:
        stored = dict(content[PROVENANCE_KEY])
        provenance = Provenance(**{**stored, 'intrinsics': Intrinsics(**stored['intrinsics'])})
        network = GuidedDepthNetwork(
            DepthNetworkConfig(**content[NETWORK_KEY]), build_semantic(content[SEMANTIC_KEY])
        )
        network.load_state_dict(state_below(content, NETWORK_PREFIX))
        pose, pose_config = _read_pose(content)
    except (UserError, TypeError, KeyError, RuntimeError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{path}: does not fit this version ({reason}); {advice}') from error
    return LoadedDepth(network.eval(), provenance, pose, pose_config)


def _read_pose(content: dict[str, Any]) -> tuple[nn.Module | None, PoseNetworkConfig | None]:
    if content[POSE_KEY] is None:
        return None, None
    config = PoseNetworkConfig(**content[POSE_KEY])
    pose = build_pose_network(config)
    pose.load_state_dict(state_below(content, POSE_PREFIX))
    return pose.eval(), config


def model_contract(
    loaded: LoadedDepth,
    precision: Precision,
    self_test: SelfTest | None,
    camera: Intrinsics | None = None,
) -> ModelContract:
    """
    Return what a model file with this network may promise.

    :param camera: the training camera at the file's image size; None: at the trained size.
    :raises UserError: for a network that has never learnt depth.
    """
    provenance, config = loaded.provenance, loaded.config
    if provenance.stage == ENCODER_ONLY:
        raise UserError(
            'the checkpoint holds a pretrained encoder and a random decoder: train it first, with '
            '--model.initial_weights and --model.initial_parts encoder'
        )
    return ModelContract(
        intrinsics=provenance.intrinsics if camera is None else camera,
        min_depth_m=config.min_depth_m,
        max_depth_m=config.max_depth_m,
        metric=loaded.metric,
        scale_source=provenance.scale_source,
        class_names=tuple(c.name for c in CITYSCAPES),
        palette=tuple(c.color for c in CITYSCAPES),
        network=config.name,
        guidance=loaded.guidance,
        precision=precision,
        training_stage=provenance.stage,
        weights_sha256=_weights_sha256(loaded.network),
        trained_width=provenance.intrinsics.width,
        trained_height=provenance.intrinsics.height,
        dataset_sha256=provenance.dataset_sha256,
        config_sha256=provenance.config_sha256,
        git_commit=provenance.git_commit,
        validation=provenance.validation,
        # A licence may have been given in several lines; a contract's texts are one each.
        data_licence=' '.join(provenance.data_licence.split()),
        weights_licence=' '.join(provenance.weights_licence.split()),
        self_test=self_test,
    )


def _weights_sha256(network: nn.Module) -> str:
    """Return a digest of names and values, in whatever order they are stored."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
