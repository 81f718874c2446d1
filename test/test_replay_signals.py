"""Whatever ends a replay, no node outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

pytest.importorskip('rclpy')

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ('number', 'status'),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_a_signal_ends_the_node_too(tmp_path, number, status):
    write_tiny_model(tmp_path / 'model.onnx')
    write_tiny_bag(tmp_path / 'bag', tiny_contract())
    command = [sys.executable, '-m', 'sg_depth_ros.replay.replay_bag', 'bag', '--out', 'out']
    options = ['--model', 'model.onnx', '--rate', '0.05', '--mode', 'recorded']
    player = subprocess.Popen(
        [*command, *options],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(CHECKOUT), *python_path()])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / 'out' / 'node.log'
    wait_until(lambda: log.exists() and 'active' in log.read_text())
    assert player.poll() is None
    [node] = children(player.pid)
    player.send_signal(number)
    errors = player.communicate(timeout=30)[1]
    assert player.returncode == status
    assert 'Traceback' not in errors
    wait_until(lambda: not is_running(node))
    assert not (tmp_path / 'out' / 'metrics.json').exists()


def python_path():
    return filter(None, [os.environ.get('PYTHONPATH')])


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_running(pid):
    """Tell whether a process lives; one that nobody has waited for is dead too."""
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'


def children(pid):
    text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return [int(word) for word in text.split()]
