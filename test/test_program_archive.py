"""A .pt2 file that could run code, or is damaged, is refused; nothing in it is run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_program import write_program

from sg_depth_ros.errors import UserError
from training.networks.semantic_source import build_semantic
from training.networks.semantic_source import load_semantic_network


@pytest.fixture(scope='module')
def guide(tmp_path_factory) -> Path:
    return write_program(tmp_path_factory.mktemp('program') / 'guide.pt2')


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
