"""
Depth checkpoints: what they hold beside the weights, and reading them back.

A checkpoint is Lightning's, with plain entries added, so that it is read with
``weights_only=True``: nothing in it can run code.
"""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CITYSCAPES
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.errors import UserError
from training.checkpoint_file import network_state
from training.checkpoint_file import read_checkpoint
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork

NETWORK_KEY = 'depth_network_config'
SEGMENTATION_KEY = 'depth_segmentation_config'
PROVENANCE_KEY = 'depth_provenance'


@dataclass(frozen=True)
class Provenance:
    """
    Where a trained network comes from.

    ``intrinsics`` are those of the training images at the network's size.
    """

    intrinsics: Intrinsics
    scale_source: ScaleSource
    stage: int
    dataset_sha256: str
    config_sha256: str
    git_commit: str
    data_licence: str = 'not stated'
    weights_licence: str = 'not stated'
    validation: Mapping[str, float] = field(default_factory=dict)


class LoadedDepth(NamedTuple):
    """A depth network in evaluation mode, and where it comes from."""

    network: GuidedDepthNetwork
    provenance: Provenance

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


def checkpoint_entries(network: GuidedDepthNetwork, provenance: Provenance) -> dict[str, Any]:
    """Return the plain entries that a depth checkpoint holds beside Lightning's."""
    return {
        NETWORK_KEY: asdict(network.config),
        SEGMENTATION_KEY: asdict(network.segmentation.config),
        PROVENANCE_KEY: asdict(provenance),
    }


def load_depth_checkpoint(path: Path) -> LoadedDepth:
    """
    Read the network that ``train`` wrote, on the CPU and in evaluation mode.

    :raises UserError: where the file is missing, damaged or holds another network.
    """
    advice = 'give a checkpoint written by "python -m training train"'
    content = read_checkpoint(path, advice)
    if NETWORK_KEY not in content:
        raise UserError(f'{path}: holds no depth network ({NETWORK_KEY} is missing); {advice}')
    try:
        stored = dict(content[PROVENANCE_KEY])
        provenance = Provenance(**{**stored, 'intrinsics': Intrinsics(**stored['intrinsics'])})
        network = GuidedDepthNetwork(
            DepthNetworkConfig(**content[NETWORK_KEY]),
            SegmentationNetwork(SegmentationConfig(**content[SEGMENTATION_KEY])),
        )
        network.load_state_dict(network_state(content))
    except (UserError, TypeError, KeyError, RuntimeError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{path}: does not fit this version ({reason}); {advice}') from error
    return LoadedDepth(network.eval(), provenance)


def model_contract(
    loaded: LoadedDepth, precision: str, self_test: SelfTest | None
) -> ModelContract:
    """Return what a model file with this network may promise."""
    provenance, config = loaded.provenance, loaded.config
    return ModelContract(
        intrinsics=provenance.intrinsics,
        min_depth_m=config.min_depth_m,
        max_depth_m=config.max_depth_m,
        metric=loaded.metric,
        scale_source=provenance.scale_source,
        class_names=tuple(c.name for c in CITYSCAPES),
        palette=tuple(c.color for c in CITYSCAPES),
        network=f'resnet{config.encoder_depth}-{config.encoder_width}',
        guidance=loaded.guidance,
        precision=precision,
        training_stage=provenance.stage,
        dataset_sha256=provenance.dataset_sha256,
        config_sha256=provenance.config_sha256,
        git_commit=provenance.git_commit,
        validation=provenance.validation,
        data_licence=provenance.data_licence,
        weights_licence=provenance.weights_licence,
        self_test=self_test,
    )
