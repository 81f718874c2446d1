"""Frozen means frozen: the semantic network through real training, ours and a .pt2."""

import pytest
import torch
from tiny_program import write_program
from training_run import kill_training_at
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from training import train
from training.checkpoint import load_depth_checkpoint
from training.networks.semantic_source import load_semantic_network
from training.objective.depth_module import DepthModule

STEPS = 3


class Watch:
    """Looks at the semantic network from within training."""

    def __init__(self, monkeypatch):
        self.states = []  # of its parameters and buffers, before and after every run
        self.steps = 0
        self.depth_moved = False
        monkeypatch.setattr(DepthModule, 'on_train_start', self.on_train_start)
        monkeypatch.setattr(DepthModule, 'on_after_backward', self.on_after_backward)
        monkeypatch.setattr(DepthModule, 'on_train_end', self.on_train_end)

    def attach(self, module):
        self.module = module
        self.semantic = module.network.segmentation

    @property
    def state(self):
        tensors = (*self.semantic.named_parameters(), *self.semantic.named_buffers())
        return {name: value.detach().clone() for name, value in tensors}

    def on_train_start(self):
        self.states.append(self.state)
        self.depth_before = [p.detach().clone() for p in self.module.network.depth.parameters()]
        optimised = {
            id(p)
            for o in self.module.trainer.optimizers
            for g in o.param_groups
            for p in g['params']
        }
        assert optimised
        assert optimised.isdisjoint(id(p) for p in self.semantic.parameters())
        assert optimised >= {id(p) for p in self.module.network.depth.parameters()}

    def on_after_backward(self):
        self.steps += 1
        assert self.module.network.depth.training
        assert not [name for name, m in self.semantic.named_modules() if m.training]
        assert all(p.grad is None and not p.requires_grad for p in self.semantic.parameters())
        assert all(p.grad is not None for p in self.module.network.depth.parameters())

    def on_train_end(self):
        self.states.append(self.state)
        after = self.module.network.depth.parameters()
        self.depth_moved = any(not torch.equal(a, b) for a, b in zip(after, self.depth_before))


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return write_noise_dataset(tmp_path_factory.mktemp('dataset'))


@pytest.fixture(scope='module', params=['our network', 'pt2'])
def guide(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('guide')
    if request.param == 'pt2':
        return write_program(folder / 'guide.pt2')
    return write_segmentation(folder / 'segmentation.ckpt')


@pytest.fixture
def watch(monkeypatch):
    """Look at every module that trains; its hooks are called on the watch."""
    watch = Watch(monkeypatch)
    start = DepthModule.setup

    def setup(module, stage):
        watch.attach(module)
        start(module, stage)

    monkeypatch.setattr(DepthModule, 'setup', setup)
    return watch


def run(dataset, guide, out, *more):
    steps = f'--trainer.max_steps={STEPS}'
    strides = '--model.network.guided_strides=[8]'
    train.main(options(dataset, guide, out, steps, strides, *more))


def test_training_changes_nothing_of_the_semantic_network(dataset, guide, watch, tmp_path):
    run(dataset, guide, tmp_path / 'run')
    assert watch.steps == STEPS
    assert watch.depth_moved
    before, after = watch.states
    assert any('running_mean' in name for name in before)
    for name in before:
        assert torch.equal(before[name], after[name]), name
    stored = load_depth_checkpoint(tmp_path / 'run/depth.ckpt').network.segmentation
    image = torch.rand(1, 3, 64, 128)
    assert torch.equal(stored(image).logits, load_semantic_network(guide)(image).logits)


def test_nor_does_training_that_was_resumed(dataset, guide, watch, tmp_path):
    with pytest.MonkeyPatch.context() as killer:
        kill_training_at(killer, 1)
        with pytest.raises(RuntimeError, match='killed'):
            run(dataset, guide, tmp_path / 'run')
    assert watch.steps == 1
    run(dataset, guide, tmp_path / 'run', '--resume=true')
    assert watch.steps == STEPS
    first, *others = watch.states
    assert len(others) == 2  # at the start and the end of the second run
    for state in others:
        assert all(torch.equal(first[name], state[name]) for name in first)


def test_without_freezing_the_watch_would_see_it(dataset, guide, watch, tmp_path, monkeypatch):
    """A semantic network that wakes up is what these tests must find."""
    monkeypatch.setattr('training.networks.semantic.SemanticNetwork.freeze', lambda self: self)
    with pytest.raises(AssertionError):
        run(dataset, guide, tmp_path / 'run')
