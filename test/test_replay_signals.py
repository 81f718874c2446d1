"""Whatever ends a replay, no node outlives it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.replay.live.node_process import NodeProcess
from sg_depth_ros.replay.live.node_process import NodeSettings

pytest.importorskip('rclpy')
pytestmark = pytest.mark.usefixtures('interruptible')

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


def test_a_second_interruption_ends_a_node_that_does_not_answer(tmp_path, monkeypatch):
    """In the place of a node, a process that is stopped: it hears no signal but one."""
    deaf = [sys.executable, '-c', 'import time; print("up", flush=True); time.sleep(60)']
    monkeypatch.setattr(NodeSettings, 'command', lambda self: deaf)
    settings = NodeSettings(tmp_path / 'm.onnx', '/image', '/camera_info', False, every=True)
    log = tmp_path / 'node.log'

    def leave():
        with NodeProcess(settings, 42, log) as node:
            wait_until(lambda: 'up\n' in log.read_text())
            pids.append(node.pid)
            os.kill(node.pid, signal.SIGSTOP)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    pids = []
    with pytest.raises(KeyboardInterrupt):
        leave()
    assert not is_running(pids[0])


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
