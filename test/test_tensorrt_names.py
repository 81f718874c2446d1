"""Our code takes from TensorRT only what 10.3, 10.13 and 11.4 have, as they have it."""

import json
import shutil

import pytest
from real_tensorrt import needs_tensorrt
from real_tensorrt import real_library
from tensorrt_names import CONDENSED
from tensorrt_names import ENGINE
from tensorrt_names import VERSIONS
from tensorrt_names import condense
from tensorrt_names import find_problems
from tensorrt_names import read_aliases
from tensorrt_names import read_chains
from tensorrt_names import read_used

# Beside the repository, where somebody has them.
APIS = ENGINE.parents[3] / 'shared' / 'tensorrt'


@pytest.fixture
def condensed():
    return json.loads(CONDENSED.read_text())


@pytest.fixture
def changed(tmp_path):
    """Change our code, in a copy, and return what is wrong with it then."""

    def change(file, old, new, condensed):
        folder = shutil.copytree(ENGINE, tmp_path / 'tensorrt')
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))
        return find_problems(read_used(folder), condensed)

    return change


def test_every_name_is_in_every_version(condensed):
    assert all(tuple(real) == VERSIONS for real in condensed.values())
    assert find_problems(read_used(), condensed) == []


def test_the_walk_through_the_source_finds_what_is_there():
    assert read_aliases(ENGINE) == []
    chains = read_chains(ENGINE)
    assert {('Builder',), ('Runtime',), ('OnnxParser',), ('IProgressMonitor',)} < chains
    assert {('BuilderFlag', 'TF32'), ('ILogger', 'Severity', 'WARNING')} < chains
    assert 'IExecutionContext.execute_async_v3' in read_used()


@pytest.mark.parametrize(
    ('old', 'new', 'problem'),
    [
        ('BuilderFlag.TF32', 'BuilderFlag.TF3', 'BuilderFlag.TF3: no version has it'),
        ('trt.OnnxParser(', 'trt.OnnxParser2(', 'OnnxParser2: no version has it'),
    ],
)
def test_a_misspelt_name_is_found(changed, condensed, old, new, problem):
    assert problem in changed('builder.py', old, new, condensed)


@pytest.mark.parametrize(
    ('old', 'new', 'problem'),
    [
        # Not in the list: nobody looked whether TensorRT has it.
        (
            'def serialize(self)',
            'def query(self) -> int: ...\n    def serialize(self)',
            'ITimingCache.query: no version has it',
        ),
        (
            'TF32: EnumMember',
            'FP16: EnumMember\n    TF32: EnumMember',
            'BuilderFlag.FP16: no version has it',
        ),
        # In the list and no longer used.
        ('def serialize(self)', 'def serial(self)', 'ITimingCache.serialize: is not used'),
        # Used otherwise than it is made.
        ('pool_size: int', 'size: int', 'set_memory_pool_limit(self: IBuilderConfig, '),
        ('ignore_mismatch: bool) -> bool', 'ignore_mismatch: bool) -> int', 'does not return int'),
        (
            'cache: ITimingCache, ignore_mismatch: bool',
            'cache: ITimingCache',
            'and needs cache, ignore',
        ),
        (
            '    def num_errors(self)',
            '    def num_error(self)',
            'OnnxParser.num_error: no version has it',
        ),
        (
            '    @property\n    def num_errors(self)',
            '    def num_errors(self)',
            'it is property, a property and no method',
        ),
        ('def Builder(self, logger', 'def Builder(self, log', 'has no parameters log'),
    ],
)
def test_a_protocol_that_is_not_true_is_found(changed, condensed, old, new, problem):
    problems = changed('api.py', old, new, condensed)
    assert any(problem in line for line in problems), problems


def test_a_name_that_one_version_lacks_is_found(changed, condensed):
    """TensorRT 10.3 and 10.13 have FP16, 11.4 has not."""
    condensed['BuilderFlag.FP16'] = {'10.3': 'value', '10.13': 'value', '11.4': None}
    problems = changed('builder.py', 'BuilderFlag.TF32', 'BuilderFlag.FP16', condensed)
    assert problems == ['BuilderFlag.FP16: TensorRT 11.4 lacks it']


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('trt, options = build.library.trt,', 'rt, options = build.library.trt,'),
        ('    trt = build.library.trt', '    library = build.library.trt'),
    ],
)
def test_the_module_under_another_name_is_found(tmp_path, old, new):
    folder = shutil.copytree(ENGINE, tmp_path / 'tensorrt')
    text = (folder / 'builder.py').read_text()
    assert old in text
    (folder / 'builder.py').write_text(text.replace(old, new, 1))
    assert len(read_aliases(folder)) == 1


@pytest.mark.skipif(not APIS.is_dir(), reason='the full lists of names are not at hand')
def test_the_list_is_true_to_the_bindings(condensed):
    assert condense(APIS, read_used()) == condensed


@needs_tensorrt
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_real_library_has_every_name():
    for name in read_used():
        thing = real_library().trt
        for part in name.split('.'):
            assert hasattr(thing, part), name
            thing = getattr(thing, part)
