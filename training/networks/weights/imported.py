"""What an importer gives: networks filled with somebody's weights, and what is known of them."""

from pathlib import Path
from typing import NamedTuple

from torch import nn

from training.networks.depth import DepthNetwork
from training.networks.depth import DepthNetworkConfig
from training.networks.pose import PoseNetworkConfig


class ImportedPose(NamedTuple):
    """A pose network with imported weights."""

    config: PoseNetworkConfig
    network: nn.Module


class Imported(NamedTuple):
    """
    Networks with imported weights; guidance is none.

    :param config: what the depth network is built from.
    :param depth: the depth network.
    :param pose: the pose network, where there is one.
    :param files: what was read.
    :param licence: of the weights, as far as their origin tells.
    :param facts: what the files say of themselves, in sentences for the user.
    :param knows_depth: False where only the encoder has weights and the decoder is random.
    """

    config: DepthNetworkConfig
    depth: DepthNetwork
    pose: ImportedPose | None
    files: tuple[Path, ...]
    licence: str
    facts: tuple[str, ...] = ()
    knows_depth: bool = True
