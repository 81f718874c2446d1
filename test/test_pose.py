"""The pose networks and the geometry of what they say."""

import math

import pytest
import torch

from sg_depth_ros.errors import UserError
from training.networks.motion import ROTATIONS
from training.networks.motion import Motion
from training.networks.motion import axis_angle_to_rotation
from training.networks.motion import euler_to_rotation
from training.networks.motion import invert
from training.networks.motion import motion_to_transform
from training.networks.pose import PoseNet
from training.networks.pose import PoseNetworkConfig
from training.networks.pose import PoseResNet
from training.networks.pose import build_pose_network

VECTORS = (
    (0.0, 0.0, 0.0),
    (1e-9, 0.0, -1e-9),
    (3e-4, -2e-4, 1e-4),
    (0.00999, 0.0, 0.0),  # the series' last and the formula's first angles
    (0.01001, 0.0, 0.0),
    (0.2, -0.4, 0.7),
    (0.0, math.pi - 1e-6, 0.0),
    (2.0, -3.0, 1.0),
)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def images(batch=2, height=64, width=128):
    return torch.rand(batch, 3, height, width), torch.rand(batch, 2, 3, height, width)


def cross_matrix(v):
    x, y, z = v
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)


@pytest.mark.parametrize('form', ROTATIONS)
@pytest.mark.parametrize('vector', VECTORS)
def test_rotation_is_orthonormal_without_reflection(form, vector):
    rotation = ROTATIONS[form](torch.tensor(vector, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(rotation @ rotation.T, identity, atol=1e-14, rtol=0)
    assert torch.linalg.det(rotation).item() == pytest.approx(1.0, abs=1e-14)
    single = ROTATIONS[form](torch.tensor(vector))
    torch.testing.assert_close(single.double(), rotation, atol=1e-6, rtol=0)


@pytest.mark.parametrize('form', ROTATIONS)
@pytest.mark.parametrize('axis', [0, 1, 2])
def test_rotation_turns_about_the_named_axis(form, axis):
    quarter = torch.zeros(3)
    quarter[axis] = math.pi / 2
    rotation = ROTATIONS[form](quarter)
    following, last = (axis + 1) % 3, (axis + 2) % 3
    torch.testing.assert_close(rotation @ torch.eye(3)[following], torch.eye(3)[last])
    torch.testing.assert_close(rotation @ torch.eye(3)[axis], torch.eye(3)[axis])


def test_euler_angles_compose_as_x_times_y_times_z():
    angles = torch.tensor([0.2, -0.4, 0.7], dtype=torch.float64)
    x, y, z = (euler_to_rotation(part) for part in torch.diag(angles))
    torch.testing.assert_close(euler_to_rotation(angles), x @ y @ z)


@pytest.mark.parametrize('vector', VECTORS)
def test_axis_angle_is_the_exponential_of_its_cross_matrix(vector):
    rotation = axis_angle_to_rotation(torch.tensor(vector, dtype=torch.float64))
    expected = torch.linalg.matrix_exp(cross_matrix(vector))
    torch.testing.assert_close(rotation, expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize('vector', VECTORS)
def test_axis_angle_has_the_right_gradient_even_at_no_rotation(vector):
    v = torch.tensor([vector], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_to_rotation, v)
    assert torch.autograd.gradgradcheck(axis_angle_to_rotation, v)


def test_axis_angle_has_a_finite_gradient_at_no_rotation_in_float32():
    v = torch.zeros(4, 3, requires_grad=True)
    (axis_angle_to_rotation(v) * torch.arange(36.0).view(4, 3, 3)).sum().backward()
    assert v.grad.isfinite().all()
    assert v.grad.abs().min() > 0


def test_inverse_motion_leads_back():
    torch.manual_seed(0)
    motion = Motion(axis_angle_to_rotation(torch.randn(3, 2, 3)), torch.randn(3, 2, 3))
    there, back = motion_to_transform(motion), motion_to_transform(invert(motion))
    torch.testing.assert_close(back @ there, torch.eye(4).expand(3, 2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(there[..., :3, 3], motion.translation)


def test_unknown_displacement_leaves_the_prediction_and_its_gradient_finite():
    translation = torch.tensor([[[0.1, 0.2, 0.3], [0.1, 0.0, -0.2]]], requires_grad=True)
    vector = torch.zeros(1, 2, 3, requires_grad=True)
    motion = Motion(axis_angle_to_rotation(vector), translation)
    transform = motion_to_transform(motion, torch.tensor([[math.nan, 2.0]]))
    torch.testing.assert_close(transform[0, 0, :3, 3], translation[0, 0])
    assert transform[0, 1, :3, 3].norm().item() == pytest.approx(2.0, rel=1e-5)
    transform.sum().backward()
    assert vector.grad.isfinite().all()
    # A prediction of unknown length passes its gradient on as it is.
    torch.testing.assert_close(translation.grad[0, 0], torch.ones(3))
    # Of a measured one only the direction counts: no gradient along it.
    along = (translation.grad[0, 1] * translation[0, 1]).sum().item()
    assert along == pytest.approx(0.0, abs=1e-5)


def test_translation_of_no_length_keeps_a_finite_gradient():
    translation = torch.zeros(1, 2, 3, requires_grad=True)
    motion = Motion(torch.eye(3).expand(1, 2, 3, 3), translation)
    transform = motion_to_transform(motion, torch.tensor([[math.nan, 2.0]]))
    transform.sum().backward()
    assert transform.isfinite().all()
    assert translation.grad.isfinite().all()


def test_networks_have_the_published_sizes():
    assert parameters(build_pose_network(PoseNetworkConfig())) == 1_592_684
    assert parameters(build_pose_network(PoseNetworkConfig('resnet18'))) == 12_500_492


@pytest.mark.parametrize('architecture', ['posenet', 'resnet18'])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_network_starts_forwards(architecture, seed):
    torch.manual_seed(seed)
    network = build_pose_network(PoseNetworkConfig(architecture))
    motion = network(*images())
    assert motion.rotation.shape == (2, 2, 3, 3)
    assert motion.translation.shape == (2, 2, 3)
    x, y, z = motion.translation.unbind(-1)
    assert (z[:, 0] > 0).all()
    assert (z[:, 1] < 0).all()
    assert (z.abs() > 2 * torch.hypot(x, y)).all()


def test_temporal_pairs_of_a_drive_reversed_are_motions_exchanged():
    torch.manual_seed(0)
    network = build_pose_network(PoseNetworkConfig('resnet18')).eval()
    target, contexts = images()
    # The pair (previous, target) of one triplet is the pair (target, next) of another.
    other = torch.stack([torch.rand_like(target), target], 1)
    first = motion_to_transform(network(target, contexts))[:, 0]
    second = motion_to_transform(network(contexts[:, 0], other))[:, 1]
    identity = torch.eye(4).expand(2, 4, 4)
    torch.testing.assert_close(first @ second, identity, atol=1e-6, rtol=0)


def test_pairs_with_the_target_first_treat_both_contexts_alike():
    torch.manual_seed(0)
    config = PoseNetworkConfig('resnet18', rotation='euler', pair_order='target_first')
    network = build_pose_network(config).eval()
    target, contexts = images()
    motion, exchanged = network(target, contexts), network(target, contexts.flip(1))
    torch.testing.assert_close(motion.translation, exchanged.translation.flip(1))
    torch.testing.assert_close(motion.rotation, exchanged.rotation.flip(1))
    assert not torch.allclose(motion.translation[:, 0], motion.translation[:, 1], rtol=1e-3)


def test_rotation_form_says_what_the_same_numbers_mean():
    torch.manual_seed(0)
    network = PoseNet()
    with torch.no_grad():
        network.motion.bias[3:6] = torch.tensor([20.0, -40.0, 70.0])
    other = PoseNet('axis_angle')
    other.load_state_dict(network.state_dict())
    seen = images()
    euler, axis = network(*seen), other(*seen)
    torch.testing.assert_close(euler.translation, axis.translation)
    assert (euler.rotation - axis.rotation)[:, 0].abs().max() > 0.05


def test_posenet_sees_raw_images_where_asked():
    torch.manual_seed(0)
    network = build_pose_network(PoseNetworkConfig())
    raw = build_pose_network(PoseNetworkConfig(normalized_input=False))
    raw.load_state_dict(network.state_dict())
    target, contexts = images()
    seen = (target - 0.45) / 0.225, (contexts - 0.45) / 0.225
    torch.testing.assert_close(raw(*seen).translation, network(target, contexts).translation)


@pytest.mark.parametrize('network', [PoseNet, PoseResNet])
def test_motion_stays_float32_under_mixed_precision(network):
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16):
        motion = network()(*images())
    assert motion.rotation.dtype == motion.translation.dtype == torch.float32
    gram = motion.rotation.transpose(-1, -2) @ motion.rotation
    torch.testing.assert_close(gram, torch.eye(3).expand_as(gram), atol=1e-6, rtol=0)


def test_option_of_the_other_architecture_is_refused():
    with pytest.raises(UserError, match='pair_order is for resnet18'):
        build_pose_network(PoseNetworkConfig('posenet', pair_order='target_first'))
    with pytest.raises(UserError, match='normalized_input is for posenet'):
        build_pose_network(PoseNetworkConfig('resnet18', normalized_input=False))


@pytest.mark.parametrize('network', [PoseNet, PoseResNet])
def test_gradient_reaches_every_layer(network):
    torch.manual_seed(0)
    network = network()
    transform = motion_to_transform(network(*images()), torch.tensor([[math.nan, 2.0]]))
    (transform * torch.rand(2, 2, 4, 4)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        # A bias under a normalisation of its own channel has no effect.
        assert name.endswith('bias') or parameter.grad.abs().max() > 0, name
