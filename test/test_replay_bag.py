"""The whole way over real topics: player, node in its own process, recorder, verdict."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import write_bag
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.replay import node_process
from sg_depth_ros.replay.replay_bag import main

pytest.importorskip('rclpy')

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'model.onnx'
    write_tiny_model(path)
    return path


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


def test_every_image_gives_one_of_each_and_the_depth_is_right(bag, model, tmp_path, started):
    out = tmp_path / 'out'
    assert replay(bag, model, out, '--rate', '2') == 0
    found = json.loads((out / 'metrics.json').read_text())
    assert found['passed']
    assert found['frames_in'] == found['depth_images'] == 10
    assert found['camera_infos'] == found['clouds'] == 10
    assert found['latency_ms']['p50'] <= found['latency_ms']['p95'] <= found['latency_ms']['max']
    assert found['images'] == 10
    assert found['unscaled']['abs_rel'] < 1e-4
    assert found['per_class'][0]['name'] == 'road'
    recorded = found['runs']['recorded_speed']
    assert recorded['frames_in'] == 10
    assert recorded['depth_images'] >= 8
    assert recorded['input_rate_hz'] == pytest.approx(20.0, rel=0.3)
    assert len(started) == 2
    assert sorted(p.name for p in out.iterdir()) == [
        'metrics.json',
        'node.log',
        'report.html',
        'strip.png',
    ]
    page = (out / 'report.html').read_text()
    assert 'Lock step' in page
    assert 'Recorded speed' in page
    log = (out / 'node.log').read_text()
    assert 'processing_mode:=every' in log
    assert 'processing_mode:=latest' in log


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
    assert found['depth_images'] == found['clouds'] == 3
    assert found['ground_truth'] is None


def test_an_exceeded_limit_fails(bag, model, tmp_path, capsys, started):
    options = ('--mode', 'lockstep', '--max-latency-p95-ms', '0.001', '--max-frames', '2')
    assert replay(bag, model, tmp_path / 'out', *options) == 1
    assert 'limit 0.001 ms' in capsys.readouterr().out
    assert not json.loads((tmp_path / 'out' / 'metrics.json').read_text())['passed']


def test_missing_outputs_fail(bag, tmp_path, capsys, started):
    # A network that gives no valid depth: the node publishes no cloud of it.
    nothing = np.full((32, 64), np.nan, np.float32)
    write_tiny_model(tmp_path / 'model.onnx', ramp_m=nothing)
    options = ('--mode', 'lockstep', '--max-frames', '2', '--frame-timeout', '1')
    assert replay(bag, tmp_path / 'model.onnx', tmp_path / 'out', *options) == 1
    assert 'points: missing for 2' in capsys.readouterr().out
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert not found['passed']
    assert (found['frames_in'], found['depth_images'], found['clouds']) == (2, 2, 0)
    assert found['why'] == 'No measured pixel has a valid depth.'


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


def test_a_node_that_dies_on_the_way_is_told_in_one_line(
    bag, model, tmp_path, capsys, monkeypatch, started
):
    from sg_depth_ros.replay.live import LivePlayer

    publish = LivePlayer._publish_image

    def publish_and_kill(player, *arguments):
        sent = publish(player, *arguments)
        if len(player._recording.sent) == 3:
            os.kill(started[-1].pid, signal.SIGKILL)
        return sent

    monkeypatch.setattr(LivePlayer, '_publish_image', publish_and_kill)
    out = tmp_path / 'out'
    assert replay(bag, model, out, '--mode', 'lockstep') == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert 'the node ended by signal SIGKILL' in lines[0]
    assert str(out / 'node.log') in lines[0]
    assert [p.name for p in out.iterdir()] == ['node.log']


def test_sigterm_ends_the_node_too(bag, model, tmp_path):
    command = [sys.executable, '-m', 'sg_depth_ros.replay.replay_bag', str(bag)]
    options = ['--model', str(model), '--out', str(tmp_path / 'out'), '--rate', '0.05']
    player = subprocess.Popen(
        [*command, *options, '--mode', 'recorded'], cwd=CHECKOUT, stdout=subprocess.DEVNULL
    )
    log = tmp_path / 'out' / 'node.log'
    deadline = time.monotonic() + 60
    while not (log.exists() and 'active' in log.read_text()):
        assert time.monotonic() < deadline
        assert player.poll() is None
        time.sleep(0.1)
    [node] = children(player.pid)
    player.terminate()
    assert player.wait(30) == 128 + signal.SIGTERM
    assert not Path(f'/proc/{node}').exists()


def children(pid):
    text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return [int(word) for word in text.split()]


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        ({'bag': 'nowhere'}, 'no such bag'),
        ({'model': 'nowhere.onnx'}, 'no such model file'),
        ({'bag': 'blind'}, 'no images'),
        ({'bag': 'uncalibrated'}, 'no camera_info'),
        ({'options': ['--domain-id', '500']}, '--domain-id 500'),
        ({'options': ['--node-parameter', 'nonsense']}, 'NAME:=VALUE'),
        ({'options': ['--dds-profile', 'nowhere.xml']}, 'no such DDS profile'),
        ({'options': ['--max-missed', '3']}, '--max-missed 3'),
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
