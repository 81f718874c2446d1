"""Building plans with the double: progress, stopping, what TensorRT refuses and measures."""

import io
import threading
from dataclasses import replace

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tensorrt_double import World
from tensorrt_double import installed_double
from tensorrt_double.plan import unpack
from tiny_model import write_tiny_model

from sg_depth_ros.engines.engine import EngineUnavailableError
from sg_depth_ros.engines.options import TensorRTOptions
from sg_depth_ros.engines.tensorrt.builder import build_plan
from sg_depth_ros.engines.tensorrt.library import load_tensorrt
from sg_depth_ros.engines.tensorrt.progress import BuildCancelledError
from sg_depth_ros.engines.tensorrt.progress import BuildProgress
from sg_depth_ros.engines.tensorrt.progress import BuildTracker
from sg_depth_ros.engines.tensorrt.progress import shown_progress
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import read_model_file

OPTIONS = TensorRTOptions()


@pytest.fixture
def world(monkeypatch):
    with installed_double(monkeypatch) as world:
        yield world


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return read_model_file(write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx'))


def many_nodes(model, name, count):
    """Return the model with an operator so many times behind each other, nodes named."""
    graph = onnx.load_from_string(model.content)
    for index in range(count):
        node = onnx.helper.make_node(name, ['ramp'], [f'more_{index}'], name=f'/more/{index}')
        graph.graph.node.append(node)
    return model._replace(content=graph.SerializeToString())


@pytest.mark.parametrize('version', ['10.0.1', '10.3.0', '10.13.0', '11.4.0'])
def test_a_plan_is_built_strongly_typed(monkeypatch, model, version):
    with installed_double(monkeypatch, World(version)) as world:
        built = build_plan(load_tensorrt(), model, OPTIONS)
        assert built.build_s > 0
        assert built.timing_cache
        # The double calls it a misuse to build a network of another kind.
        assert world.calls.count('Builder.build_serialized_network') == 1


def test_options_arrive_in_the_plan(world, model):
    def about(**changes):
        options = replace(OPTIONS, **changes)
        return unpack(build_plan(load_tensorrt(), model, options).plan)[0]

    plain = about()
    assert not plain['tf32']
    assert about(tf32=True)['tf32']
    assert about(workspace_mb=64)['workspace'] == 64 << 20
    assert plain['workspace'] > 64 << 20
    assert about(optimization_level=1)['optimization_level'] == 1
    assert about(hardware_compatible=True)['hardware_compatible']
    assert about(version_compatible=True)['version_compatible']
    assert not plain['hardware_compatible']
    assert not plain['version_compatible']


@pytest.mark.parametrize('wrong', [{'optimization_level': 6}, {'workspace_mb': 0}])
def test_options_that_make_no_sense_are_refused(world, model, wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f'{name} is {wrong[name]}, must be'):
        build_plan(load_tensorrt(), model, replace(OPTIONS, **wrong))
    assert 'Builder' not in world.calls


def test_the_configuration_can_be_prepared(world, model):
    seen = []
    build_plan(load_tensorrt(), model, OPTIONS, prepare_config=seen.append)
    assert [type(config).__name__ for config in seen] == ['Config']
    seen.clear()


def test_nodes_that_the_parser_refuses_are_all_told(world, model, caplog):
    world.unsupported_operators.add('Unique')
    with pytest.raises(EngineUnavailableError) as refusal:
        build_plan(load_tensorrt(), many_nodes(model, 'Unique', 3), OPTIONS)
    world.forgive()
    text = str(refusal.value)
    assert text.startswith(f'{model.path}: TensorRT 10.13.0 does not take it: node "/more/0" (Uni')
    assert [f'/more/{i}' in text for i in range(4)] == [True, True, True, False]
    assert 'Unique is not supported' in text
    assert '\n' not in text


def test_of_a_hundred_nodes_ten_are_told_and_the_log_has_all(world, model, caplog):
    world.unsupported_operators.add('Unique')
    with pytest.raises(EngineUnavailableError, match=r'; and 90 more, see the log$') as refusal:
        build_plan(load_tensorrt(), many_nodes(model, 'Unique', 100), OPTIONS)
    assert str(refusal.value).count('node ') == 10
    assert len([r for r in caplog.records if 'Unique is not supported' in r.message]) == 100


@pytest.mark.parametrize(
    ('call', 'told'),
    [
        ('Builder', 'cannot make a builder'),
        ('Builder.create_network', 'cannot make a network: createNetworkV2: out of memory'),
        ('Builder.create_builder_config', 'cannot make a configuration: createBuilderConfig'),
        ('OnnxParser', 'cannot make a parser'),
        ('OnnxParser.parse', 'does not take it: .*on demand'),
        ('Builder.build_serialized_network', 'cannot build a plan of it: .*Could not find any'),
    ],
)
def test_what_fails_is_told_in_tensorrts_words(world, model, call, told):
    world.fail(call)
    with pytest.raises(EngineUnavailableError, match=f'TensorRT 10.13.0 {told}'):
        build_plan(load_tensorrt(), model, OPTIONS)


def test_an_error_of_an_earlier_build_is_not_told_again(world, model):
    library = load_tensorrt()
    world.fail('Builder.build_serialized_network')
    with pytest.raises(EngineUnavailableError, match='Could not find any'):
        build_plan(library, model, OPTIONS)
    world.forgive()
    world.fail('Builder')
    with pytest.raises(EngineUnavailableError) as refusal:
        build_plan(library, model, OPTIONS)
    assert 'Could not find any' not in str(refusal.value)


def test_what_was_measured_saves_the_next_build_the_time(world, model):
    library = load_tensorrt()
    measured = build_plan(library, model, OPTIONS).timing_cache
    timed = world.kernels_timed
    again = build_plan(library, model, OPTIONS, measured)
    assert world.kernels_timed == timed > 0
    assert again.timing_cache == measured


def test_measurements_are_not_kept_where_nobody_wants_them(world, model):
    options = replace(OPTIONS, timing_cache=False)
    assert build_plan(load_tensorrt(), model, options, b'old').timing_cache is None
    assert not [call for call in world.calls if 'timing_cache' in call.lower()]


def test_measurements_of_another_tensorrt_do_no_harm(monkeypatch, model):
    with installed_double(monkeypatch, World('10.3.0')):
        old = build_plan(load_tensorrt(), model, OPTIONS).timing_cache
    with installed_double(monkeypatch, World('11.4.0')) as world:
        library = load_tensorrt()
        for useless in (old, b'garbage'):
            timed = world.kernels_timed
            built = build_plan(library, model, OPTIONS, useless)
            assert built.timing_cache not in (None, old)
            assert world.kernels_timed > timed


@pytest.mark.parametrize(
    'call',
    ['IBuilderConfig.create_timing_cache', 'IBuilderConfig.set_timing_cache'],
)
def test_a_build_does_without_a_timing_cache(world, model, call):
    world.fail(call)
    assert build_plan(load_tensorrt(), model, OPTIONS).timing_cache is None


def test_progress_comes_from_several_threads_in_order(world, model):
    seen, threads = [], set()

    def on_progress(progress):
        seen.append(progress)
        threads.add(threading.get_ident())
        return True

    build_plan(load_tensorrt(), model, OPTIONS, None, on_progress)
    shares, times = [p.share for p in seen], [p.elapsed_s for p in seen]
    assert shares == sorted(shares)
    assert times == sorted(times)
    assert shares[-2] < shares[-1] == 1
    assert {'Building engine', 'Timing graph nodes'} < {p.phase for p in seen}
    assert len(threads) > 1


@pytest.mark.parametrize('at', range(0, 10, 3))
@pytest.mark.parametrize('kind', [None, ValueError, KeyboardInterrupt])
def test_a_callback_stops_the_build_from_any_thread(world, model, at, kind):
    seen, error = [], kind and kind('mine')

    def on_progress(progress):
        seen.append(progress)
        if len(seen) > at and error:
            raise error
        return len(seen) <= at

    library = load_tensorrt()
    with pytest.raises(kind or BuildCancelledError) as raised:
        build_plan(library, model, OPTIONS, None, on_progress)
    assert len(seen) == at + 1
    if kind is not None:
        assert raised.value is error
    world.forgive()
    assert build_plan(library, model, OPTIONS).plan


def test_an_error_at_hand_keeps_nothing_of_tensorrts_alive(world, model):
    world.fail('Builder.build_serialized_network')
    with pytest.raises(EngineUnavailableError) as refusal:
        build_plan(load_tensorrt(), model, OPTIONS)
    assert world.alive('Builder', 'INetworkDefinition', 'IBuilderConfig', 'OnnxParser') == []
    assert refusal.value.__traceback__ is not None


def test_a_step_with_phases_of_its_own_comes_nearer_its_end_with_each():
    seen = []
    tracker = BuildTracker(lambda p: seen.append(p) or True)
    tracker.phase_start('whole', None, 4)
    tracker.step_complete('whole', 0)
    assert seen[-1].share == 1 / 4
    for name in ('first', 'second'):
        tracker.phase_start(name, 'whole', 2)
        tracker.step_complete(name, 0)
        tracker.step_complete(name, 1)
        tracker.phase_finish(name)
    shares = [p.share for p in seen if p.phase in ('first', 'second')]
    quarters = [0, 1 / 4, 1 / 2, 1 / 2, 5 / 8, 3 / 4]  # of the whole's second step
    assert shares == pytest.approx([(1 + q) / 4 for q in quarters])
    tracker.step_complete('whole', 1)
    assert seen[-1].share == 2 / 4
    # Both at once, then the whole ends early, as it does on errors.
    for name in ('first', 'second'):
        tracker.phase_start(name, 'whole', 1)
        tracker.step_complete(name, 0)
    assert seen[-1].share == pytest.approx((2 + 3 / 4) / 4)
    tracker.phase_finish('whole')
    tracker.phase_start('another', None, 2)
    assert seen[-1].share == pytest.approx((2 + 3 / 4) / 4)
    tracker.finish()
    assert seen[-1].share == 1


names = st.sampled_from('abc')
calls = st.one_of(
    st.tuples(st.just('phase_start'), names, st.one_of(st.none(), names), st.integers(-1, 4)),
    st.tuples(st.just('step_complete'), names, st.integers(-1, 5)),
    st.tuples(st.just('phase_finish'), names),
)


@given(st.lists(calls, max_size=30))
def test_whatever_tensorrt_tells_the_share_never_falls(events):
    seen = []
    tracker = BuildTracker(lambda p: seen.append(p) or True)
    for method, *arguments in events:
        assert getattr(tracker, method)(*arguments) in (None, True)
    tracker.check()
    shares = [p.share for p in seen]
    assert shares == sorted(shares)
    assert all(0 <= share < 1 for share in shares)


def test_a_terminal_shows_a_bar():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with shown_progress('TensorRT plan', console) as on_progress:
        assert on_progress(BuildProgress('Timing graph nodes', 0.25, 3.0))
        assert on_progress(BuildProgress('Plan built', 1.0, 9.0))
    assert 'TensorRT plan' in screen.getvalue()
    assert '100%' in screen.getvalue()
    assert 'Plan built' in screen.getvalue()


def test_elsewhere_there_is_a_line_now_and_then():
    screen = io.StringIO()
    with shown_progress('[plan]', Console(file=screen, width=20)) as on_progress:
        for percent in range(100):
            assert on_progress(BuildProgress('Timing [graph] nodes', percent / 100, percent / 50))
        assert on_progress(BuildProgress('slow', 0.991, 60.0))
        assert on_progress(BuildProgress('Plan built', 1.0, 61.0))
    lines = screen.getvalue().splitlines()
    assert lines[0] == '[plan]: 0 % after 0 s (Timing [graph] nodes)'
    assert lines[-2:] == [
        '[plan]: 99 % after 60 s (slow)',
        '[plan]: 100 % after 61 s (Plan built)',
    ]
    assert len(lines) == 12
