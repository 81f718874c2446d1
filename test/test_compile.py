"""What is compiled is asked for, computes the same, and leaves checkpoints as they are."""

import pytest
import torch
from training_run import write_noise_dataset

from training.data.datamodule import DepthData
from training.networks.depth import DepthNetworkConfig
from training.objective.depth_module import DepthModule

NETWORK = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance='none', initial_depth_m=5.0
)


@pytest.fixture
def batch(tmp_path):
    data = DepthData(str(write_noise_dataset(tmp_path)), batch_size=2, workers=0)
    return next(iter(data.train_dataloader()))


@pytest.fixture
def compiled(monkeypatch):
    """Let functions that torch.compile is asked for run as they are, and list them when called."""
    calls = []

    def compile_nothing(function, *_, **__):
        def call(*arguments, **options):
            calls.append(function)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(torch, 'compile', compile_nothing)
    return calls


def module_with(compile):
    torch.manual_seed(0)
    return DepthModule(None, NETWORK, compile=compile)


@pytest.mark.parametrize(('parts', 'count'), [('nothing', 0), ('objective', 1), ('all', 3)])
def test_the_parts_asked_for_are_compiled_and_the_terms_stay(parts, count, batch, compiled):
    terms = module_with(parts).terms(batch)
    assert len(compiled) == count
    for found, expected in zip(terms, module_with('nothing').terms(batch)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_compiled_networks_keep_the_names_of_their_weights(compiled):
    assert module_with('all').state_dict().keys() == module_with('nothing').state_dict().keys()
