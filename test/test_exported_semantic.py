"""Any semantic network in a .pt2 file as the guide: what is read, stored and exported."""

import copy
import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_program import export_program
from tiny_program import tiny_semantic
from tiny_program import write_program
from torch import nn

from training.exporting.onnx_graph import build_graph
from training.networks.depth import DepthNetworkConfig
from training.networks.exported_semantic import ExportedSemanticNetwork
from training.networks.guided import GuidedDepthNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.semantic_source import build_semantic
from training.networks.semantic_source import load_semantic_network
from training.networks.semantic_source import semantic_entry
from training.torch_engine import ExportableModel

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
NARROW = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(16, 16, 8, 8, 8), guidance_channels=16
)


@pytest.fixture(scope='module')
def guide(tmp_path_factory) -> Path:
    return write_program(tmp_path_factory.mktemp('program') / 'guide.pt2')


@pytest.fixture
def network(guide) -> ExportedSemanticNetwork:
    return ExportedSemanticNetwork.from_file(guide)


def depth_of(semantic, image, config=NARROW):
    torch.manual_seed(0)
    network = GuidedDepthNetwork(config, semantic).eval()
    with torch.no_grad():
        return network(image)


def test_channels_and_strides_are_read_and_sorted_coarse_first(network):
    assert network.feature_channels == (12, 8)
    assert network.feature_strides == (8, 4)
    assert network.class_count == 19
    assert '12 channels at stride 8' in network.describe()


@pytest.mark.parametrize('shape', [(1, 3, 64, 96), (3, 3, 96, 64)])
def test_gives_what_the_network_gives_for_the_normalised_image(network, shape):
    image = torch.rand(shape)
    with torch.no_grad():
        logits, (fine, coarse) = tiny_semantic()((image - MEAN) / STD)
    found = network(image)
    assert torch.equal(found.logits, logits)
    assert torch.equal(found.features[0], coarse)
    assert torch.equal(found.features[1], fine)


def test_our_own_network_guides_alike_directly_and_exported(tmp_path):
    torch.manual_seed(1)
    ours = SegmentationNetwork(SegmentationConfig(width=8, pyramid_channels=16)).eval()

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = ours

        def forward(self, normalized):
            output = self.network(normalized * STD + MEAN)
            return output.logits, output.features[::-1]

    path = write_program(tmp_path / 'ours.pt2', Wrapper(), shape=(1, 3, 64, 96), fixed=(0, 2, 3))
    exported = load_semantic_network(path)
    assert exported.feature_strides == ours.feature_strides
    image = torch.rand(1, 3, 64, 96)
    direct, through_file = depth_of(ours, image), depth_of(exported, image)
    assert torch.allclose(direct.logits, through_file.logits, atol=1e-5)
    for a, b in zip(direct.inverse_depth, through_file.inverse_depth):
        assert torch.allclose(a, b, rtol=1e-4)
    other = depth_of(ours, image.flip(-1))
    assert not torch.allclose(direct.inverse_depth[0], other.inverse_depth[0], rtol=1e-4)


def test_layout_type_mode_and_mixed_precision_change_nothing(network):
    image = torch.rand(1, 3, 64, 96)
    before = network(image)
    network.train()
    network.to(memory_format=torch.channels_last)
    network.to(torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        after = network(image.to(memory_format=torch.channels_last))
    assert torch.equal(after.logits, before.logits)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def by_pickle(network):
    """Copy it as starting one process per device does."""
    return pickle.loads(pickle.dumps(network))  # noqa: S301 - its own


@pytest.mark.parametrize('clone', [copy.deepcopy, by_pickle])
def test_copies_of_it_say_the_same(network, clone):
    image = torch.rand(1, 3, 64, 96)
    assert torch.equal(clone(network)(image).logits, network(image).logits)


def test_moves_to_another_device_with_the_tensors_that_it_makes(network):
    # The meta device computes nothing, but like a GPU refuses to be mixed with the CPU.
    moved = copy.deepcopy(network).to('meta')(torch.rand(1, 3, 64, 96, device='meta'))
    assert moved.logits.device.type == 'meta'


def test_is_stored_whole_and_once(network):
    depth = GuidedDepthNetwork(NARROW, network)
    state = depth.state_dict()
    assert state
    assert not [name for name in state if name.startswith('segmentation.')]
    stored = io.BytesIO()
    torch.save({'entry': semantic_entry(network), 'state': state}, stored)
    stored.seek(0)
    content = torch.load(stored, weights_only=True)
    again = GuidedDepthNetwork(NARROW, build_semantic(content['entry']))
    again.load_state_dict(content['state'])
    image = torch.rand(1, 3, 64, 96)
    assert torch.equal(again(image).logits, depth(image).logits)
    assert torch.equal(again(image).inverse_depth[0], depth(image).inverse_depth[0])


def test_the_same_program_is_stored_as_the_same_bytes(guide, network):
    again = ExportedSemanticNetwork.from_file(guide)
    assert torch.equal(network.program_bytes(), again.program_bytes())
    assert str(Path(__file__).parent).encode() not in network.program_bytes().numpy().tobytes()


def test_the_exported_graph_gives_what_torch_gives(network):
    torch.manual_seed(0)
    one_level = replace(NARROW, guided_strides=(8,))
    model = ExportableModel(GuidedDepthNetwork(one_level, network)).eval()
    graph = build_graph(model, 64, 96)
    operators = {node.op_type for node in graph.graph.node}
    assert not operators & {'Shape', 'Loop', 'If', 'Dropout', 'BatchNormalization'}
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    depth_m, labels, confidence = session.run(None, {'image': image.numpy()})
    with torch.no_grad():
        expected = [value.numpy() for value in model(image)]
    np.testing.assert_allclose(depth_m, expected[0], rtol=1e-4)
    assert (labels == expected[1]).mean() > 0.999
    np.testing.assert_allclose(confidence, expected[2].astype(float), atol=1)


def test_a_decomposed_program_is_read_alike(guide, tmp_path, network):
    program = export_program(tiny_semantic()).run_decompositions()
    torch.export.save(program, tmp_path / 'core.pt2')
    image = torch.rand(1, 3, 64, 96)
    found = load_semantic_network(tmp_path / 'core.pt2')(image)
    assert torch.allclose(found.logits, network(image).logits, atol=1e-5)
