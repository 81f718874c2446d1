"""``describe``: its numbers are those of the networks, and it needs neither data nor weights."""

from pathlib import Path

import pytest
import torch
from tiny_program import write_program
from torch import nn
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from training import describe
from training.networks.counting import count_gmac
from training.networks.counting import count_layers
from training.networks.counting import count_parameters
from training.networks.depth import RESNET_DEPTHS
from training.networks.depth import DepthNetworkConfig
from training.networks.depth import build_depth_network
from training.networks.description import describe_depth
from training.networks.description import describe_pose
from training.networks.description import describe_semantic
from training.networks.description import guidance_sees_px
from training.networks.description import guided_levels
from training.networks.pac import PacConv2d
from training.networks.pose import PoseNetworkConfig
from training.networks.receptive_field import averaging
from training.networks.receptive_field import receptive_field_px
from training.networks.resnet import ResNetEncoder
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = (*RESNET_DEPTHS, 'packnet01', 'packnet01_slim')
SIZE = (192, 640)


@pytest.fixture(scope='module')
def semantic():
    with torch.device('meta'):
        return SegmentationNetwork(SegmentationConfig()).freeze()


def printed(capsys, *arguments):
    assert describe.main([*arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_layers_add_up_to_the_network(architecture):
    config = DepthNetworkConfig(architecture, guidance='none', pack_padding='each')
    found, _ = describe_depth(config, None, 64, 128)
    with torch.device('meta'):
        network = build_depth_network(config)
        gmac = count_gmac(network, torch.zeros(1, 3, 64, 128))
    assert found.parameters == count_parameters(network)
    assert found.gmac == pytest.approx(gmac)
    for layer in found.layers:
        assert isinstance(network.get_submodule(layer.name), nn.Module)


@pytest.mark.parametrize('operator', ['pac', 'spade'])
def test_guidance_counts_for_itself_and_not_for_the_decoder(semantic, operator):
    guided, _ = describe_depth(DepthNetworkConfig(guidance=operator), semantic, *SIZE)
    plain, _ = describe_depth(DepthNetworkConfig(guidance='none'), None, *SIZE)
    assert guided.within('decoder') == plain.within('decoder')
    assert guided.within('encoder') == plain.within('encoder')
    guidance = guided.within('guidance')
    assert len(guidance.layers) == 8
    assert guided.parameters == plain.parameters + guidance.parameters
    assert guided.gmac == pytest.approx(plain.gmac + guidance.gmac)


def test_pixel_adaptive_convolution_counts_by_its_definition():
    pac = PacConv2d(6, 5, 4)
    x, f = torch.zeros(2, 6, 8, 16), torch.zeros(2, 4, 8, 16)
    (cost,) = count_layers(pac, {'pac': pac}, x, f)
    assert cost.name == 'pac'
    assert cost.shapes == ((2, 5, 8, 16),)
    assert 'forward' not in vars(pac)  # it is what it was
    # 9 C O of the filters, 4 kernels of D squares, 8 neighbours times O.
    assert cost.multiplications == 2 * 8 * 16 * (9 * 6 * 5 + 4 * 4 + 8 * 5)


def test_published_networks_have_their_published_size():
    packnet = DepthNetworkConfig('packnet01', guidance='none')
    whole, folded = describe_depth(packnet, None, *SIZE)
    assert whole.parameters == 128_294_020
    assert whole.gmac == pytest.approx(205.16, abs=0.01)
    assert folded.parameters == 60_364_836
    assert folded.gmac == pytest.approx(103.01, abs=0.01)
    assert describe_pose(PoseNetworkConfig('posenet'), *SIZE).parameters == 1_592_684
    unet, nothing = describe_depth(DepthNetworkConfig(guidance='none'), None, *SIZE)
    assert nothing is None
    assert unet.layers[0].shapes == ((64, 96, 320),)
    assert unet.layers[-1].shapes == ((1, 192, 640),)


@pytest.mark.parametrize('architecture', ['posenet', 'resnet18'])
def test_pose_networks_add_up(architecture):
    config = PoseNetworkConfig(architecture)
    found = describe_pose(config, 64, 128)
    assert found.layers[-1].name == 'motion'
    assert found.parameters == sum(layer.parameters for layer in found.layers)
    assert found.gmac > 0


def test_the_semantic_network_adds_up(semantic):
    found = describe_semantic(semantic, *SIZE)
    assert found.parameters == count_parameters(semantic)
    assert found.gmac == pytest.approx(
        count_gmac(semantic, torch.zeros(1, 3, *SIZE, device='meta'))
    )


def test_receptive_fields_are_those_of_the_layers():
    two = averaging(
        nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1), nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 3, 1, 1))
    )
    assert receptive_field_px(two, 2) == 3 + 2 * 2
    # Of a cell's two pixels each looks into one neighbouring cell: 2 cells of 2, and 1 around.
    doubled = averaging(
        nn.Sequential(
            nn.Conv2d(3, 1, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, 1, 1)
        )
    )
    assert receptive_field_px(doubled, 1) == 3 + 2
    # Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    resnet = averaging(ResNetEncoder(18, 1))
    assert receptive_field_px(lambda image: resnet(image)[-1], 32) == 435


def test_guided_levels_say_what_guides_them(semantic):
    config = DepthNetworkConfig(guided_strides=(16, 2), decoder_channels=(80, 64, 48, 32, 16))
    coarse, fine = guided_levels(config, semantic, *SIZE)
    assert (coarse.stride, coarse.map_stride, coarse.upsampling) == (16, 16, 1)
    assert (fine.stride, fine.map_stride, fine.upsampling) == (2, 4, 2)
    assert coarse.shape == (80, 12, 40)
    assert fine.shape == (32, 96, 320)
    assert (coarse.window_px, fine.window_px) == (48, 6)
    assert coarse.map_channels == 128
    # At least what the coarsest map of the encoder sees, through the pyramid.
    assert coarse.sees_px > fine.sees_px > 435
    assert guided_levels(DepthNetworkConfig(guidance='none'), semantic, *SIZE) == ()


def test_a_deeper_semantic_network_sees_more():
    seen = [
        guidance_sees_px(SegmentationNetwork(SegmentationConfig(depth, 8, 8)), 0, 16)
        for depth in (18, 34)
    ]
    assert seen[0] < seen[1]


def test_a_configuration_is_described_without_dataset_or_weights(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = printed(
        capsys,
        *('--config', str(ROOT / 'config' / 'training' / 'own_recording.yaml')),
        *('--data.root', 'nowhere'),
        *('--model.segmentation', 'nowhere.ckpt'),
    )
    assert 'stands in: nowhere.ckpt does not exist' in out
    assert 'guidance.operators.16' in out
    assert '15,425,912' in out
    assert 'stride 4, 128 channels' in out
    assert 'folded' not in out
    assert not list(tmp_path.iterdir())


def test_packnet_is_described_unfolded_and_folded(capsys):
    options = ('--model.network.architecture=packnet01', '--model.network.guidance=none')
    out = printed(capsys, *options)
    for number in ('128,294,020', '60,364,836', '205.158', '103.007'):
        assert number in out
    assert 'stands in' not in out
    assert 'Guidance: none' in out


def test_the_semantic_network_of_a_file_is_described(capsys, tmp_path):
    file = write_segmentation(tmp_path / 'segmentation.ckpt')
    out = printed(capsys, '--model.segmentation', str(file), '--width=128', '--height=64')
    assert 'FPN-ResNet-18 of width 8' in out
    assert 'stands in' not in out
    assert 'stride 4, 16 channels' in out


def test_an_exported_program_is_described_as_one_layer(capsys, tmp_path):
    file = write_program(tmp_path / 'network.pt2')
    out = printed(capsys, '--model.segmentation', str(file), '--width=192', '--height=64')
    assert 'exported program' in out
    assert 'not known' in out


def test_a_configuration_of_segment_is_described(capsys):
    config = str(ROOT / 'config' / 'training' / 'segment.yaml')
    out = printed(capsys, '--verb', 'segment', '--config', config)
    assert '12,040,915' in out
    assert 'guidance' not in out


def test_mistakes_are_one_line(tmp_path):
    segment = str(ROOT / 'config' / 'training' / 'segment.yaml')
    broken = tmp_path / 'broken.ckpt'
    broken.write_bytes(b'no checkpoint')
    for arguments, said in (
        (['--width', '100'], 'multiples of 32'),
        (['--model.network.guided_strides', '[3]'], 'guided_strides'),
        (['--config', segment], '--verb segment'),
        (['--model.segmentation', str(broken)], 'broken.ckpt'),
    ):
        with pytest.raises(UserError, match=said) as error:
            describe.main(arguments)
        assert '\n' not in str(error.value)
