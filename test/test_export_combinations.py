"""
Every depth network, guidance operator and semantic network exports, and says what torch says.

An export takes seconds. Those that always run hold every pair: every depth network with every
operator, and both with every semantic network. All combinations run where
SG_DEPTH_ROS_EVERY_COMBINATION is set, some ten minutes.
"""

import os
from itertools import combinations as combinations_of
from itertools import product
from typing import NamedTuple
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from real_tensorrt import assert_tensorrt_builds
from real_tensorrt import assert_tensorrt_parses
from tensorrt_operators import tensorrt_problems
from torch import nn

from training.exporting.folding import fold_for_export
from training.exporting.half_precision import to_half_precision
from training.exporting.onnx_graph import build_graph
from training.networks.counting import count_gmac
from training.networks.depth import Architecture
from training.networks.depth import DepthNetworkConfig
from training.networks.guidance import GuidanceOperator
from training.networks.guided import GuidedDepthNetwork
from training.networks.packing import FoldedPack
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.torch_engine import ExportableModel

HEIGHT, WIDTH = 64, 96
SEGMENTATION_DEPTHS = (18, 34, 50)
# The least that the architectures can be.
WIDTHS: dict[Architecture, int] = {
    'resnet18': 8,
    'resnet34': 8,
    'resnet50': 8,
    'packnet01': 32,
    'packnet01_slim': 16,
}


class Combination(NamedTuple):
    """A depth network, an operator, the layers of the FPN-ResNet."""

    architecture: Architecture
    guidance: GuidanceOperator
    segmentation: int | None


# A Latin square of semantic networks, and depth without any.
COVERING = [
    Combination(architecture, guidance, SEGMENTATION_DEPTHS[(row + column) % 3])
    for row, architecture in enumerate(get_args(Architecture))
    for column, guidance in enumerate(get_args(GuidanceOperator))
] + [Combination('resnet18', 'none', None), Combination('packnet01', 'none', None)]
EVERY = [
    Combination(architecture, guidance, segmentation)
    for architecture, guidance, segmentation in product(
        get_args(Architecture), get_args(GuidanceOperator), (*SEGMENTATION_DEPTHS, None)
    )
    if segmentation is not None or guidance == 'none'
]
# Of which TensorRT's builder makes a plan, too: PackNets take it seconds each.
BUILT = [c for c in EVERY if c.architecture.startswith('resnet')] + [
    Combination('packnet01_slim', 'pac', 34)
]
TESTED = EVERY if 'SG_DEPTH_ROS_EVERY_COMBINATION' in os.environ else COVERING


def test_every_pair_runs():
    def pairs_of(combinations):
        with_semantics = [c for c in combinations if c.segmentation is not None]
        return {pair for c in with_semantics for pair in combinations_of(c, 2)}

    assert set(COVERING) <= set(EVERY)
    assert len(EVERY) == 5 * (3 * 3 + 1)
    assert pairs_of(COVERING) == pairs_of(EVERY)


def network_of(combination, pack_padding='once', strides=(2,)):
    torch.manual_seed(3)
    segmentation = None
    if combination.segmentation is not None:
        segmentation = SegmentationNetwork(
            SegmentationConfig(combination.segmentation, width=8, pyramid_channels=16)
        )
    config = DepthNetworkConfig(
        architecture=combination.architecture,
        encoder_width=WIDTHS[combination.architecture],
        decoder_channels=(16, 16, 8, 8, 8),
        pack_padding=pack_padding,
        guidance=combination.guidance,
        guided_strides=strides,
        guidance_channels=16,
    )
    network = GuidedDepthNetwork(config, segmentation)
    # Values as training leaves them: many start as equal ones and zeros, which fold into nothing.
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    # Heads that say more than one depth; where they say almost none, rounding shows most.
    for head in network.depth.decoder.heads:
        head.conv.weight.data *= 5
    return network.eval()


def exported_graph(network):
    folded, folding = fold_for_export(network, HEIGHT, WIDTH)
    return build_graph(ExportableModel(folded).eval(), HEIGHT, WIDTH), folding


def assert_agrees(graph, network):
    """Against the trained network itself, whatever was done to it before the export."""
    model = ExportableModel(network).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    random = np.random.default_rng(5)
    noise = random.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, WIDTH)[:, None], noise.shape).astype(np.uint8)
    depths = []
    for image in (noise, ramp):
        depth_m, labels, confidence = session.run(None, {'image': image})
        with torch.no_grad():
            expected = [output.numpy() for output in model(torch.from_numpy(image.copy()))]
        np.testing.assert_allclose(depth_m, expected[0], rtol=1e-3)
        assert np.mean(labels == expected[1]) >= 0.999
        assert np.abs(confidence.astype(int) - expected[2]).max() <= 1
        depths.append(depth_m)
    # The comparison is worth something: the depth depends on the image.
    assert np.abs(depths[0] / depths[1] - 1).max() > 0.01


@pytest.mark.parametrize('combination', TESTED, ids=lambda c: '-'.join(map(str, c)))
def test_a_combination_exports_and_agrees(combination):
    network = network_of(combination)
    graph, _ = exported_graph(network)
    assert tensorrt_problems(graph) == []
    assert_tensorrt_parses(graph)
    if combination in BUILT:
        assert_tensorrt_builds(to_half_precision(graph))
    assert_agrees(graph, network)
    names = {w.name for w in graph.graph.initializer}
    assert any('guidance' in name for name in names) == (combination.guidance != 'none')
    assert any('segmentation' in name for name in names) == (combination.segmentation is not None)
    # Folded, nothing but PackNet's unpacking is left of them.
    three = [name for name, rank in convolutions(graph).items() if rank == 5]
    assert len(three) == (5 if combination.architecture.startswith('packnet') else 0)
    assert all('decoder' in name for name in three)


def convolutions(graph):
    """Return the name of each convolution's weight, and its number of dimensions."""
    ranks = {w.name: len(w.dims) for w in graph.graph.initializer}
    return {
        node.input[1]: ranks[node.input[1]] for node in graph.graph.node if node.op_type == 'Conv'
    }


def test_packings_that_pad_each_export_as_they_are():
    network = network_of(Combination('packnet01_slim', 'none', None), 'each')
    graph, folding = exported_graph(network)
    assert (folding.folded, folding.exact, folding.saved_gmac) == (False, False, 0.0)
    assert tensorrt_problems(graph) == []
    assert_agrees(graph, network)
    ranks = convolutions(graph)
    assert sum(rank == 5 for name, rank in ranks.items() if 'encoder.packs' in name) == 5


@pytest.mark.parametrize('padding', ['once', 'each'])
def test_folding_is_a_choice_only_where_it_changes_the_depth(padding):
    network = network_of(Combination('packnet01_slim', 'none', None), padding)
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    folded, folding = fold_for_export(network, HEIGHT, WIDTH, fold_inexact=True)
    assert folding.exact == (padding == 'once')
    assert sum(isinstance(part, FoldedPack) for part in folded.modules()) == 5
    assert not any(isinstance(part, FoldedPack) for part in network.modules())
    with torch.no_grad():
        same = np.allclose(
            folded(image).inverse_depth[0], network(image).inverse_depth[0], rtol=1e-4
        )
    assert same == folding.exact


def test_the_work_that_folding_saves_is_what_the_networks_differ_by():
    network = network_of(Combination('packnet01_slim', 'none', None), 'each')
    folded, folding = fold_for_export(network, HEIGHT, WIDTH, fold_inexact=True)
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    saved_gmac = count_gmac(network, image) - count_gmac(folded, image)
    assert folding.saved_gmac == pytest.approx(saved_gmac, rel=1e-6)


def test_a_network_without_packings_is_exported_itself():
    network = network_of(Combination('resnet18', 'none', None))
    same, folding = fold_for_export(network, HEIGHT, WIDTH, fold_inexact=True)
    assert same is network
    assert folding.packings == 0
    assert not folding.folded
