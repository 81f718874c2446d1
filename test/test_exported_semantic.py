"""Any semantic network in a .pt2 file as the guide: what is read, what is refused, and how."""

import copy
import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_program import TinySemantic
from tiny_program import export_program
from tiny_program import tiny_semantic
from tiny_program import write_program
from torch import nn

from sg_depth_ros.errors import UserError
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


# What cannot guide.


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


# What could run code, or is damaged.


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def saved_bomb(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Bomb(marker), buffer)
    return buffer.getvalue()


def rewritten(source: Path, path: Path, change, *, compression=zipfile.ZIP_STORED) -> Path:
    """Copy an archive with its files changed: by name below the root folder."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition('/')[0]
        files = {n.partition('/')[2]: archive.read(n) for n in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in files.items():
            archive.writestr(f'{root}/{name}', data)
    return path


def edit(name: str, change):
    """Return a change of a JSON file in the archive."""

    def apply(files: dict[str, bytes]) -> None:
        document = json.loads(files[name])
        change(document)
        files[name] = json.dumps(document).encode()

    return apply


def with_sample_inputs(marker):
    return lambda files: files.update({'data/sample_inputs/model.pt': saved_bomb(marker)})


def with_old_weights(marker):
    return lambda files: files.update({'data/weights/model.pt': saved_bomb(marker)})


def with_pickled_weight(marker):
    def change(files):
        def pickle_first(document):
            payload = next(iter(document['config'].values()))
            payload['use_pickle'] = True
            files[f'data/weights/{payload["path_name"]}'] = saved_bomb(marker)

        edit('data/weights/model_weights_config.json', pickle_first)(files)

    return change


def with_constant(prefix, *, pickled=True):
    def make(marker):
        def change(files):
            files[f'data/constants/{prefix}0'] = pickle.dumps(Bomb(marker))
            payload = {
                'path_name': f'{prefix}0',
                'is_param': False,
                'use_pickle': pickled,
            }
            edit(
                'data/constants/model_constants_config.json',
                lambda d: d['config'].update({'bomb': {**payload, 'tensor_meta': None}}),
            )(files)

        return change

    return make


def with_size(marker):
    def change(program):
        values = program['graph_module']['graph']['tensor_values']
        sizes = next(v['sizes'] for v in values.values() if 'as_expr' in str(v['sizes']))
        size = next(s['as_expr'] for s in sizes if 'as_expr' in s)
        size['expr_str'] = f'__import__("pathlib").Path({str(marker)!r}).touch()'

    return edit('models/model.json', change)


def with_range(marker):
    def change(program):
        text = f'[__import__("pathlib").Path({str(marker)!r}).touch()]'
        program['range_constraints'][text] = {'min_val': 2, 'max_val': None}

    return edit('models/model.json', change)


def with_guard(marker):
    def change(program):
        text = f'__import__("pathlib").Path({str(marker)!r}).touch() is None'
        program['guards_code'] = [text]

    return edit('models/model.json', change)


def with_function(marker):
    """Call torch.os.mkdir, which an operator's name can reach."""

    def change(program):
        graph = program['graph_module']['graph']
        argument = {'name': 'path', 'arg': {'as_string': str(marker)}, 'kind': 1}
        graph['nodes'].insert(
            0, {'target': 'torch.os.mkdir', 'inputs': [argument], 'outputs': [], 'metadata': {}}
        )

    return edit('models/model.json', change)


def with_file_operator(marker):
    def change(program):
        nodes = program['graph_module']['graph']['nodes']
        node = next(n for n in nodes if n['target'] == 'torch.ops.aten.linspace.default')
        arguments = (
            ('filename', {'as_string': marker.name}),
            ('shared', {'as_bool': True}),
            ('size', {'as_int': 19}),
        )
        node['target'] = 'torch.ops.aten.from_file.default'
        node['inputs'] = [{'name': n, 'arg': a, 'kind': 1} for n, a in arguments]

    return edit('models/model.json', change)


def with_name(marker):
    """Put code where generated source names a tensor."""

    def change(program):
        specs = program['graph_module']['signature']['input_specs']
        bomb = f'x"), __import__("pathlib").Path({str(marker)!r}).touch(), getattr(self, "x'
        specs[0]['parameter']['parameter_name'] = bomb

    return edit('models/model.json', change)


ATTACKS = [
    with_old_weights,
    with_pickled_weight,
    with_constant('opaque_obj_'),
    with_constant('custom_obj_'),
    with_constant('tensor_'),
    with_constant('opaque_obj_', pickled=False),
    with_size,
    with_range,
    with_guard,
    with_function,
    with_file_operator,
    with_name,
]


@pytest.mark.parametrize('attack', ATTACKS)
def test_an_archive_that_would_run_code_is_refused(attack, guide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / 'ran'
    path = rewritten(guide, tmp_path / 'evil.pt2', attack(marker))
    with pytest.raises(UserError):
        load_semantic_network(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    'attack',
    [with_sample_inputs, with_pickled_weight, with_constant('opaque_obj_'), with_size],
)
def test_these_archives_do_run_code_where_torch_reads_them(attack, guide, tmp_path):
    marker = tmp_path / 'ran'
    path = rewritten(guide, tmp_path / 'evil.pt2', attack(marker))
    with pytest.raises(Exception):  # noqa: B017 - after the harm is done
        torch.export.load(path).module()(torch.rand(2, 3))
    assert marker.exists()


def test_sample_inputs_are_left_out_unread(guide, tmp_path):
    marker = tmp_path / 'ran'
    path = rewritten(guide, tmp_path / 'evil.pt2', with_sample_inputs(marker))
    network = load_semantic_network(path)
    assert not marker.exists()
    assert b'touch' not in network.program_bytes().numpy().tobytes()


def test_a_checkpoint_with_such_a_program_is_refused_too(guide, tmp_path):
    marker = tmp_path / 'ran'
    path = rewritten(guide, tmp_path / 'evil.pt2', with_pickled_weight(marker))
    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    with pytest.raises(UserError):
        build_semantic({'exported_program': content})
    assert not marker.exists()


@pytest.mark.parametrize(
    'write',
    [
        pytest.param(lambda path, guide: None, id='missing'),
        pytest.param(lambda path, guide: path.mkdir(), id='folder'),
        pytest.param(lambda path, guide: path.write_bytes(b''), id='empty'),
        pytest.param(lambda path, guide: path.write_bytes(b'\x00' * 999), id='zeros'),
        pytest.param(lambda path, guide: path.write_bytes(guide[: len(guide) // 2]), id='half'),
        pytest.param(lambda path, guide: torch.save({'a': 1}, path), id='checkpoint'),
    ],
)
def test_other_files_are_refused_in_one_line(write, guide, tmp_path):
    path = tmp_path / 'file.pt2'
    write(path, guide.read_bytes())
    with pytest.raises(UserError) as error:
        load_semantic_network(path)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'change',
    [
        pytest.param(lambda files: files.pop('data/weights/weight_0'), id='no weight'),
        pytest.param(lambda files: files.update({'data/weights/weight_0': b'12'}), id='short'),
        pytest.param(
            edit('models/model.json', lambda d: d['graph_module']['graph']['nodes'].pop()),
            id='no node',
        ),
        pytest.param(
            edit('models/model.json', lambda d: d['schema_version'].update(major=99)), id='newer'
        ),
    ],
)
def test_a_damaged_archive_is_refused_in_one_line(change, guide, tmp_path):
    path = rewritten(guide, tmp_path / 'damaged.pt2', change)
    with pytest.raises(UserError) as error:
        load_semantic_network(path)
    assert '\n' not in str(error.value)


def test_a_compressed_archive_is_refused(guide, tmp_path):
    path = rewritten(
        guide, tmp_path / 'packed.pt2', lambda files: None, compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(UserError, match='compressed'):
        load_semantic_network(path)


def test_a_compiled_library_is_refused(guide, tmp_path):
    path = rewritten(
        guide,
        tmp_path / 'compiled.pt2',
        lambda files: files.update({'data/aotinductor/model/network.so': b'\x7fELF'}),
    )
    with pytest.raises(UserError, match='compiled library'):
        load_semantic_network(path)


def test_outputs_of_a_registered_type_are_refused(guide, tmp_path):
    def change(program):
        signature = program['graph_module']['module_call_graph'][0]['signature']
        signature['out_spec'] = signature['out_spec'].replace('builtins.list', 'other.ModelOutput')

    path = rewritten(guide, tmp_path / 'other.pt2', edit('models/model.json', change))
    with pytest.raises(UserError, match=r'returns other\.ModelOutput'):
        load_semantic_network(path)


def test_an_operator_of_another_library_is_named(guide, tmp_path):
    def change(program):
        program['graph_module']['graph']['nodes'][0]['target'] = (
            'torch.ops.torchvision.nms.default'
        )

    path = rewritten(guide, tmp_path / 'other.pt2', edit('models/model.json', change))
    with pytest.raises(UserError, match='torchvision'):
        load_semantic_network(path)


def test_a_decomposed_program_is_read_alike(guide, tmp_path, network):
    program = export_program(tiny_semantic()).run_decompositions()
    torch.export.save(program, tmp_path / 'core.pt2')
    image = torch.rand(1, 3, 64, 96)
    found = load_semantic_network(tmp_path / 'core.pt2')(image)
    assert torch.allclose(found.logits, network(image).logits, atol=1e-5)
