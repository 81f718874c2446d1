"""Mixed precision is for the networks: geometry and losses are float32, and results agree."""

import math

import pytest
import torch
from rendered_triplet import write_rendered_drive
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from training import train
from training.data.augmentation import AugmentationConfig
from training.data.datamodule import DepthData
from training.networks.depth import DepthNetworkConfig
from training.networks.motion import Motion
from training.objective import depth_module
from training.objective.depth_module import DepthModule
from training.objective.objective import ObjectiveConfig
from training.objective.objective import objective

NETWORK = DepthNetworkConfig(
    encoder_width=16, decoder_channels=(16, 16, 16, 16, 16), guidance='none'
)
OPTIONS = [
    *('--model.network.guidance=none', '--model.network.encoder_width=16'),
    *('--model.network.decoder_channels=[16,16,16,16,16]', '--data.batch_size=1'),
    *('--trainer.accelerator=cpu', '--trainer.max_steps=2', '--trainer.log_every_n_steps=1'),
]
SCALES = ('displacement', 'velocity', 'none')


class Dtypes(TorchDispatchMode):
    """Notes the types of the floating-point numbers that operators give."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                self.seen.add(leaf.dtype)
        return result


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp('precision') / 'dataset'
    write_rendered_drive(root)
    return root


@pytest.fixture
def batch(dataset):
    never = AugmentationConfig(jitter_probability=0.0, flip_probability=0.0)
    data = DepthData(str(dataset), batch_size=1, augmentation=never)
    return next(iter(data.train_dataloader()))


def mixed():
    return torch.autocast('cpu', dtype=torch.bfloat16)


def module_with(scale='displacement'):
    torch.manual_seed(0)
    return DepthModule(None, NETWORK, objective=ObjectiveConfig(scale=scale))


def losses(run):
    events = EventAccumulator(str(run / 'tensorboard')).Reload()
    return [event.value for event in events.Scalars('loss')]


def test_in_a_mixed_run_the_objective_meets_float32_only(dataset, tmp_path, monkeypatch):
    given, computed, networks, gradients = set(), set(), set(), set()

    def spy(*arguments):
        assert not torch.is_autocast_enabled('cpu')
        tensors = [a for a in tree_leaves(arguments) if isinstance(a, torch.Tensor)]
        given.update(t.dtype for t in tensors)
        for tensor in tensors:
            if tensor.requires_grad:
                tensor.register_hook(lambda gradient: gradients.add(gradient.dtype))
        with Dtypes() as dtypes:
            terms = objective(*arguments)
        computed.update(dtypes.seen)
        return terms

    def watch(module):
        for network in (module.network.depth.encoder, module.pose):
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    layer.register_forward_hook(lambda *a: networks.add(a[-1].dtype))

    monkeypatch.setattr(depth_module, 'objective', spy)
    monkeypatch.setattr(DepthModule, 'on_train_start', watch)
    paths = ['--data.root', str(dataset), '--out', str(tmp_path / 'mixed')]
    train.main([*OPTIONS, *paths, '--trainer.precision=bf16-mixed'])
    assert networks == {torch.bfloat16}
    assert given == computed == gradients == {torch.float32}

    monkeypatch.undo()
    train.main([*OPTIONS, '--data.root', str(dataset), '--out', str(tmp_path / 'exact')])
    half, exact = losses(tmp_path / 'mixed'), losses(tmp_path / 'exact')
    assert len(half) == len(exact) == 2
    assert half != exact
    assert half == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize('scale', SCALES)
def test_equal_depth_and_motion_cost_the_same_to_the_bit(batch, scale, monkeypatch):
    module = module_with(scale)
    height, width = batch.images.shape[2:4]
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape):
        return torch.rand(shape, generator=generator)

    depths = [0.05 + drawn(1, 1, height >> s, width >> s) / 5 for s in range(4)]
    translation = drawn(1, 2, 3) - 0.5
    rotation = torch.linalg.matrix_exp(0.02 * torch.tensor([[0.0, 1, -1], [-1, 0, 1], [1, -1, 0]]))
    leaves = [d.requires_grad_() for d in (*depths, translation)]
    monkeypatch.setattr(module.network, 'inverse_depth', lambda image: tuple(depths))
    motion = Motion(rotation.expand(1, 2, 3, 3), translation)
    monkeypatch.setattr(module.pose, 'forward', lambda target, contexts: motion)

    exact = module.terms(batch)
    with mixed():
        half = module.terms(batch)
    assert all(torch.equal(one, other) for one, other in zip(exact, half))
    for one, other in zip(
        torch.autograd.grad(exact.loss, leaves), torch.autograd.grad(half.loss, leaves)
    ):
        assert one.abs().max() > 0
        assert torch.equal(one, other)


@pytest.mark.parametrize('scale', SCALES)
def test_losses_agree_and_gradients_point_the_same_way(batch, scale):
    module = module_with(scale)
    networks = {'depth': module.network.trainable_parameters(), 'pose': module.pose.parameters()}
    networks = {name: list(parameters) for name, parameters in networks.items()}
    exact = module.terms(batch).loss
    with mixed():
        half = module.terms(batch).loss
    assert half.dtype == torch.float32
    assert half != exact  # the networks did compute in half precision
    torch.testing.assert_close(half, exact, rtol=0.01, atol=0)
    for name, parameters in networks.items():
        one, other = (
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)]
            )
            for loss in (exact, half)
        )
        assert other.dtype == torch.float32
        cosine = torch.nn.functional.cosine_similarity(one, other, dim=0).item()
        ratio = (other.norm() / one.norm()).item()
        assert cosine > 0.95, name
        assert math.isclose(ratio, 1, rel_tol=0.1), name
