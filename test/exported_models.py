"""Small depth networks, written as checkpoints and exported once for all tests."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.engines import Prediction
from training.checkpoint import checkpoint_entries
from training.networks.depth import DepthNetworkConfig
from training.networks.guided import GuidedDepthNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.provenance import Provenance

WIDTH, HEIGHT = 96, 64
PROVENANCE = Provenance(
    intrinsics=Intrinsics(70.0, 71.0, 47.0, 31.0, WIDTH, HEIGHT),
    scale_source='speed',
    stage=2,
    dataset_sha256='a' * 64,
    config_sha256='b' * 64,
    git_commit='c' * 40,
    data_licence='CC0',
    weights_licence='CC BY 4.0',
    validation={'abs_rel': 0.125},
)


class Exported(NamedTuple):
    checkpoint: Path
    model: Path
    half_model: Path
    graph: onnx.ModelProto
    half_graph: onnx.ModelProto


def write_checkpoint(path, guidance='pac', class_count=19):
    torch.manual_seed(7)
    segmentation = SegmentationNetwork(
        SegmentationConfig(width=8, pyramid_channels=16, class_count=class_count)
    )
    config = DepthNetworkConfig(
        encoder_width=8,
        decoder_channels=(16, 16, 8, 8, 8),
        guidance=guidance,
        guided_strides=(16, 2),
        guidance_channels=16,
    )
    write_network(path, GuidedDepthNetwork(config, segmentation))


def write_packnet(path, padding='each'):
    torch.manual_seed(7)
    config = DepthNetworkConfig('packnet01_slim', 16, pack_padding=padding, guidance='none')
    write_network(path, GuidedDepthNetwork(config, None))


def write_network(path, network):
    # Values as training leaves them: many start as equal ones and zeros, which fold into nothing.
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    # Heads that say more than one depth.
    for head in network.depth.decoder.heads:
        head.conv.weight.data *= 20
    state = {f'network.{key}': value for key, value in network.state_dict().items()}
    torch.save({**checkpoint_entries(network, None, PROVENANCE), 'state_dict': state}, path)


class GivenEngine:
    """Gives one prediction whatever the image."""

    def __init__(self, depth_m, labels=0, confidence=0):
        self.contract, self.description = None, 'given'
        self._prediction = Prediction(
            np.array(depth_m, np.float32),
            np.array(labels, np.uint8),
            np.array(confidence, np.uint8),
        )

    def infer(self, image):
        return self._prediction

    def close(self):
        pass
