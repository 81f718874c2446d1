"""The whole way over real topics: player, node in its own process, recorder, verdict."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import write_bag
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.replay import evaluate_bag
from sg_depth_ros.replay.live import node_process
from sg_depth_ros.replay.live import runs
from sg_depth_ros.replay.live.rhythms import TIMEOUTS_IN_A_ROW
from sg_depth_ros.replay.replay_bag import main

pytest.importorskip('rclpy')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx')


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'bag'
    write_tiny_bag(path, tiny_contract())
    return path


@pytest.fixture
def started(monkeypatch):
    """Return the node processes that the test starts, which must all have ended."""
    processes = []
    popen = subprocess.Popen

    def start(*arguments, **options):
        processes.append(popen(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(node_process.subprocess, 'Popen', start)
    yield processes
    assert processes
    assert all(process.poll() is not None for process in processes)


def replay(bag, model, out, *options):
    command = [str(bag), '--model', str(model), '--out', str(out)]
    return main([*command, '--node-parameter', 'engine_threads:=1', *options])


def test_every_mode_is_run_checked_and_judged(bag, model, tmp_path, started):
    out = tmp_path / 'out'
    assert replay(bag, model, out, '--rate', '2', '--mode', 'all') == 0
    found = json.loads((out / 'metrics.json').read_text())
    assert found['passed']
    assert list(found['runs']) == ['lock_step', 'recorded_speed', 'full_speed']
    for name in ('lock_step', 'full_speed'):
        run = found['runs'][name]
        assert run['frames_in'] == run['depth_images'] == run['masks'] == 10
        assert run['camera_infos'] == run['clouds'] == run['clouds_compared'] == 10
        assert run['stale_frames'] is None
    recorded = found['runs']['recorded_speed']
    assert recorded['frames_in'] == 10
    assert recorded['depth_images'] + recorded['missed_frames'] == 10
    assert recorded['input_rate_hz'] == pytest.approx(20.0, rel=0.3)
    assert recorded['stale_after_ms'] == pytest.approx(2 * 50, rel=0.3)
    latency = recorded['latency_ms']
    assert latency['p50'] <= latency['p95'] <= latency['p99'] <= latency['max']
    for run in found['runs'].values():
        assert run['depth']['images'] == run['depth_images']
        assert run['depth']['unscaled']['abs_rel'] < 1e-4
        assert run['usage']['cpu_cores'] > 0
        assert run['usage']['memory_peak_mb'] >= run['usage']['memory_mb'] > 10
        assert run['node']['frames_received'] == 10
        assert run['node']['processing_p50_ms'] > 0
    assert found['images'] == 10
    assert found['unscaled'] == found['runs']['lock_step']['depth']['unscaled']
    assert found['per_class'][0]['name'] == 'road'
    assert len(started) == 3
    page = (out / 'report.html').read_text()
    assert all(f'{mode}</h2>' in page for mode in ('Lock step', 'Recorded speed', 'Full speed'))
    log = (out / 'node.log').read_text()
    assert log.count('processing_mode:=every') == 2
    assert log.count('processing_mode:=latest') == 1
    suites = ElementTree.parse(out / 'junit.xml').getroot()
    assert [suite.get('name').replace(' ', '_') for suite in suites] == list(found['runs'])
    assert all(suite.get('failures') == '0' for suite in suites)
    timing = (out / 'timing.csv').read_text().splitlines()
    assert len(timing) == 1 + 3 * 10
    frames = (out / 'frames.csv').read_text().splitlines()
    assert len(frames) == 1 + sum(run['depth_images'] for run in found['runs'].values())
    assert sorted(p.name for p in out.iterdir()) == [
        'frames.csv',
        'junit.xml',
        'metrics.json',
        'node.log',
        'report.html',
        'strip.png',
        'timing.csv',
    ]


def test_what_the_node_publishes_is_judged_like_what_is_computed_offline(
    bag, model, tmp_path, started
):
    assert replay(bag, model, tmp_path / 'live', '--mode', 'lockstep', '--max-frames', '3') == 0
    offline = [str(bag), '--model', str(model), '--out', str(tmp_path / 'offline')]
    assert evaluate_bag.main([*offline, '--jobs', '1', '--max-frames', '3']) == 0
    live, judged = (
        json.loads((tmp_path / name / 'metrics.json').read_text()) for name in ('live', 'offline')
    )
    compared = ('unscaled', 'median_scaled', 'per_class', 'per_distance', 'infinite_depth')
    assert [key for key in compared if live[key] != judged[key]] == []


def test_compressed_images_are_replayed_as_they_are(model, tmp_path, started):
    camera = tiny_contract().intrinsics
    messages = []
    for stamp_ns in range(10**9, 4 * 10**9, 10**9):
        image = np.full((camera.height, camera.width, 3), 40, np.uint8)
        messages.append(('/cam/camera_info', stamp_ns, camera_info(stamp_ns, camera)))
        messages.append(('/cam/image/compressed', stamp_ns, compressed_image(stamp_ns, image)))
    write_bag(tmp_path / 'bag', messages)
    out = tmp_path / 'out'
    assert replay(tmp_path / 'bag', model, out, '--mode', 'lockstep') == 0
    found = json.loads((out / 'metrics.json').read_text())
    assert found['runs']['lock_step']['depth_images'] == found['runs']['lock_step']['clouds'] == 3
    assert found['ground_truth'] is None
    assert 'no LiDAR' in found['why']


def test_a_damaged_image_is_the_nodes_missing_output(model, tmp_path, capsys, started):
    camera = tiny_contract().intrinsics
    messages = []
    for stamp_ns in range(10**9, 5 * 10**9, 10**9):
        image = compressed_image(stamp_ns, np.full((camera.height, camera.width, 3), 40, np.uint8))
        if stamp_ns == 2 * 10**9:
            image.data = image.data[:20]
        messages.append(('/cam/camera_info', stamp_ns, camera_info(stamp_ns, camera)))
        messages.append(('/cam/image/compressed', stamp_ns, image))
    write_bag(tmp_path / 'bag', messages)
    out = tmp_path / 'out'
    options = ('--mode', 'lockstep', '--frame-timeout', '0.5')
    assert replay(tmp_path / 'bag', model, out, *options) == 1
    assert 'depth/image: missing for 1 (stamp 2.000 s) of 4' in capsys.readouterr().out
    run = json.loads((out / 'metrics.json').read_text())['runs']['lock_step']
    assert run['depth']['frames'] == run['depth_images'] == 3
    assert run['node']['frames_rejected'] == 1


def test_a_recording_that_broke_off_is_played_as_far_as_it_goes(model, tmp_path, capsys, started):
    # Images of a megabyte each, so that not all of them are in the chunk that is cut through.
    write_tiny_bag(tmp_path / 'bag', tiny_contract(), frames=5, lidar=False, rows_around=2500)
    broken = tmp_path / 'broken.mcap'
    whole = next((tmp_path / 'bag').glob('*.mcap')).read_bytes()
    broken.write_bytes(whole[: len(whole) * 3 // 4])
    out = tmp_path / 'out'
    assert replay(broken, model, out, '--mode', 'lockstep') == 0
    assert 'the recording breaks off behind image' in capsys.readouterr().out.replace('\n', ' ')
    run = json.loads((out / 'metrics.json').read_text())['runs']['lock_step']
    assert 0 < run['frames_in'] == run['depth_images'] < 5
    assert 'missing' in run['bag_broken_off']


def test_an_exceeded_limit_fails(bag, model, tmp_path, capsys, started):
    limits = tmp_path / 'limits.yaml'
    limits.write_text('max-latency-p95-ms: 0.001\nmax-abs-rel: 0.01\nmin-a1: 2\n')
    options = ('--mode', 'lockstep', '--limits', str(limits), '--min-a1', '0.9')
    assert replay(bag, model, tmp_path / 'out', *options, '--max-frames', '2') == 1
    assert 'limit 0.001 ms (--max-latency-p95-ms)' in capsys.readouterr().out
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert not found['passed']
    assert {c['limit']: c['passed'] for c in found['limits']} == {
        'max-latency-p95-ms': False,
        'max-abs-rel': True,
        'min-a1': True,
    }
    [suite] = ElementTree.parse(tmp_path / 'out' / 'junit.xml').getroot()
    assert suite.get('failures') == '1'
    [failure] = suite.iter('failure')
    assert failure.get('message') == found['failures'][0].removeprefix('lock step: ')


def test_missing_outputs_fail(bag, tmp_path, capsys, started):
    # A network that gives no valid depth: the node publishes no cloud of it.
    nothing = np.full((32, 64), np.nan, np.float32)
    write_tiny_model(tmp_path / 'model.onnx', ramp_m=nothing)
    options = ('--mode', 'lockstep', '--max-frames', '2', '--frame-timeout', '1')
    assert replay(bag, tmp_path / 'model.onnx', tmp_path / 'out', *options) == 1
    assert 'points: missing for 2' in capsys.readouterr().out
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert not found['passed']
    run = found['runs']['lock_step']
    assert (run['frames_in'], run['depth_images'], run['clouds']) == (2, 2, 0)
    assert found['why'].endswith('No measured pixel has a valid depth.')


def test_words_of_the_command_line_rename_no_topics(bag, model, tmp_path, monkeypatch, started):
    monkeypatch.setattr(sys, 'argv', ['replay_bag', '/depth_node/points:=/elsewhere'])
    short = ('--mode', 'lockstep', '--max-frames', '2', '--start-timeout', '10')
    assert replay(bag, model, tmp_path / 'out', *short) == 0


def test_a_node_that_answers_too_late_fails_though_all_it_was_sent_comes(
    bag, model, tmp_path, started
):
    out = tmp_path / 'out'
    assert replay(bag, model, out, '--mode', 'lockstep', '--frame-timeout', '1e-5') == 1
    found = json.loads((out / 'metrics.json').read_text())
    run = found['runs']['lock_step']
    assert run['frames_in'] == run['depth_images'] == TIMEOUTS_IN_A_ROW
    assert run['problems'] == []
    assert 'given up' in found['failures'][0]


def test_a_node_that_never_gets_ready_is_given_up(
    bag, model, tmp_path, capsys, monkeypatch, started
):
    command = node_process.NodeSettings.command

    def listening_elsewhere(settings):
        words = command(settings)
        return [w.replace('camera_info:=/camera/', 'camera_info:=/elsewhere/') for w in words]

    monkeypatch.setattr(node_process.NodeSettings, 'command', listening_elsewhere)
    assert replay(bag, model, tmp_path / 'out', '--start-timeout', '6') == 2
    assert 'does not subscribe to /camera/camera_info' in capsys.readouterr().err


def test_a_node_that_does_not_start_is_told_in_one_line(bag, model, tmp_path, capsys, started):
    out = tmp_path / 'out'
    assert replay(bag, model, out, '--node-parameter', 'cloud_stride:=0') == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert 'cloud_stride' in lines[0]
    assert str(out / 'node.log') in lines[0]
    assert [p.name for p in out.iterdir()] == ['node.log']


def test_results_of_an_earlier_replay_do_not_outlive_a_failure(bag, model, tmp_path, started):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'metrics.json').write_text('{"passed": true}')
    (out / 'mine.txt').touch()
    assert replay(bag, model, out, '--node-parameter', 'cloud_stride:=0') == 2
    assert sorted(p.name for p in out.iterdir()) == ['mine.txt', 'node.log']


def test_a_disk_too_small_is_told_before_a_node_is_started(
    bag, model, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(runs.shutil, 'disk_usage', lambda path: SimpleNamespace(free=1000))
    monkeypatch.setattr(node_process.subprocess, 'Popen', None)
    assert replay(bag, model, tmp_path / 'out') == 2
    assert 'are needed there for what 10 images give' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def node_killed_at_third_image(monkeypatch, started):
    from sg_depth_ros.replay.live.player import LivePlayer

    publish = LivePlayer.publish_image

    def publish_and_kill(player, *arguments):
        if len(player._recording.sent) == 2:  # before: it is quick
            os.kill(started[-1].pid, signal.SIGKILL)
        return publish(player, *arguments)

    monkeypatch.setattr(LivePlayer, 'publish_image', publish_and_kill)


@pytest.mark.usefixtures('node_killed_at_third_image')
def test_a_node_that_dies_on_the_way_fails_with_what_had_come(bag, model, tmp_path, capsys):
    out = tmp_path / 'out'
    assert replay(bag, model, out) == 1
    found = json.loads((out / 'metrics.json').read_text())
    assert list(found['runs']) == ['lock_step']
    run = found['runs']['lock_step']
    assert (run['frames_in'], run['depth_images']) == (3, 2)
    assert 'the node ended by signal SIGKILL' in run['died']
    assert str(out / 'node.log') in run['died']
    assert found['failures'][-1] == 'recorded speed: not run, since the node had died'
    assert found['images'] == 2
    failed = capsys.readouterr().out.replace('\n', ' ')
    assert 'the node ended by signal SIGKILL' in failed
    names = [suite.get('name') for suite in ElementTree.parse(out / 'junit.xml').getroot()]
    assert names == ['lock step', 'recorded speed']


def test_a_change_of_image_size_ends_the_replay_there(model, tmp_path, capsys, started):
    contract = tiny_contract()
    height, width = contract.height, contract.width
    with BagWriter(tmp_path / 'sizes') as bag:
        for number, factor in enumerate((1, 1, 2, 2)):
            stamp_ns = (10 + number) * 10**8
            image = np.zeros((factor * height, factor * width, 3), np.uint8)
            bag.camera_info('/camera/camera_info', stamp_ns, 'camera', contract.intrinsics)
            bag.image('/camera/image_raw', stamp_ns, 'camera', image)
    out = tmp_path / 'out'
    assert replay(tmp_path / 'sizes', model, out, '--mode', 'lockstep') == 2
    said = f'the image at 1.200 s is {2 * width}x{2 * height}, the first one was {width}x{height}'
    assert said in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ['node.log']


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        ({'bag': 'nowhere'}, 'no such bag'),
        ({'model': 'nowhere.onnx'}, 'no such model file'),
        ({'bag': 'blind'}, 'no images'),
        ({'bag': 'uncalibrated'}, 'no camera_info'),
        ({'options': ['--domain-id', '500']}, '--domain-id 500'),
        ({'options': ['--node-parameter', 'nonsense']}, 'NAME:=VALUE'),
        ({'options': ['--node-parameter', 'engine_thread:=1']}, 'no parameter engine_thread;'),
        ({'options': ['--dds-profile', 'nowhere.xml']}, 'no such DDS profile'),
        ({'options': ['--mode', 'fast', '--max-stale', '0.1']}, 'measured at recorded speed'),
        ({'options': ['--limits', 'nowhere.yaml']}, 'nowhere.yaml: these limits cannot be read'),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(bag, model, tmp_path, capsys, spoil, words):
    write_tiny_bag(tmp_path / 'blind', tiny_contract(), frames=2, images=False)
    write_tiny_bag(tmp_path / 'uncalibrated', tiny_contract(), frames=2, camera_info=False)
    used_bag = tmp_path / spoil['bag'] if 'bag' in spoil else bag
    used_model = tmp_path / spoil['model'] if 'model' in spoil else model
    assert replay(used_bag, used_model, tmp_path / 'new/out', *spoil.get('options', [])) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert words in lines[0]
    assert not (tmp_path / 'new').exists()
