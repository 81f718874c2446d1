"""Exported programs that cannot guide depth are refused in a line that says what to do."""

import pytest
import torch
from tiny_program import TinySemantic
from tiny_program import tiny_semantic
from tiny_program import write_program
from torch import nn

from sg_depth_ros.errors import UserError
from training.networks.semantic_source import load_semantic_network


class Changed(nn.Module):
    """A network with something done to what it gives."""

    def __init__(self, change, network=None):
        super().__init__()
        self.network = network or tiny_semantic()
        self.change = change

    def forward(self, image):
        return self.change(*self.network(image))


class Training(TinySemantic):
    """As in eval mode, but for one part."""

    def __init__(self, part):
        super().__init__()
        self.eval()
        part(self).train()


class Counting(TinySemantic):
    """Changes a buffer as it runs."""

    def __init__(self):
        super().__init__()
        self.register_buffer('runs', torch.zeros(1))
        self.eval()

    def forward(self, image):
        self.runs += 1
        return super().forward(image)


class Noisy(TinySemantic):
    """Throws dice."""

    def forward(self, image):
        return super().forward(image + torch.randn_like(image))


CANNOT_GUIDE = [
    pytest.param(lambda: tiny_semantic(21), '21 classes, not the 19', id='other classes'),
    pytest.param(lambda: Training(lambda n: n.fine[1]), r'call \.eval\(\)', id='batch norm'),
    pytest.param(lambda: Training(lambda n: n.drop), r'call \.eval\(\)', id='dropout'),
    pytest.param(lambda: Counting(), r'changes its runs', id='buffer'),
    pytest.param(lambda: Noisy().eval(), 'as in training', id='noise'),
    pytest.param(lambda: Changed(lambda logits, maps: logits), 'must return', id='logits only'),
    pytest.param(lambda: Changed(lambda logits, maps: (logits, [])), 'no list', id='no maps'),
    pytest.param(
        lambda: Changed(lambda logits, maps: (logits, [m.mean((2, 3)) for m in maps])),
        'map 0 .*no \\(B, C, h, w\\)',
        id='no map',
    ),
    pytest.param(
        lambda: Changed(lambda logits, maps: (logits, [maps[0][:, :, 1:]])),
        'power of two',
        id='odd stride',
    ),
]


@pytest.mark.parametrize(('make', 'message'), CANNOT_GUIDE)
def test_refuses_a_program_that_cannot_guide(make, message, tmp_path):
    path = write_program(tmp_path / 'guide.pt2', make())
    with pytest.raises(UserError, match=message) as error:
        load_semantic_network(path)
    assert str(error.value).startswith(str(path))
    assert '\n' not in str(error.value)


def test_refuses_other_inputs_than_an_image(tmp_path):
    class TwoImages(TinySemantic):
        def forward(self, image, other):
            return super().forward(image + other)

    for make, inputs, message in (
        (TwoImages, (torch.zeros(1, 3, 64, 64),) * 2, '2 inputs'),
        (TinySemantic, (torch.zeros(2, 3, 64, 64),), 'batch of 2 only'),
    ):
        path = tmp_path / 'guide.pt2'
        torch.export.save(torch.export.export(make().eval(), inputs), path)
        with pytest.raises(UserError, match=message):
            load_semantic_network(path)


def test_a_program_of_one_size_says_how_to_export_it_for_others(tmp_path):
    path = write_program(tmp_path / 'guide.pt2', shape=(1, 3, 64, 96), fixed=(0, 2, 3))
    network = load_semantic_network(path)
    network(torch.rand(1, 3, 64, 96))
    for shape, message in (
        ((2, 3, 64, 96), 'batches of 1 only, not 2; .*dynamic_shapes'),
        ((1, 3, 96, 96), 'heights of 64 only, not 96'),
    ):
        with pytest.raises(UserError, match=message):
            network(torch.rand(shape))
        with pytest.raises(UserError, match=message):
            network.check_size(shape[0], *shape[2:])


def test_a_size_outside_the_exported_range_is_refused(tmp_path):
    sizes = {0: torch.export.Dim('batch'), 2: torch.export.Dim('height', min=128, max=256)}
    program = torch.export.export(
        tiny_semantic(), (torch.zeros(2, 3, 128, 64),), dynamic_shapes=(sizes,)
    )
    torch.export.save(program, tmp_path / 'guide.pt2')
    network = load_semantic_network(tmp_path / 'guide.pt2')
    assert network(torch.rand(1, 3, 192, 64)).features[0].shape[-2:] == (24, 8)
    with pytest.raises(UserError, match='takes no image'):
        network(torch.rand(1, 3, 96, 64))
