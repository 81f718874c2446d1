"""What the node's log says while an engine is opened."""

import pytest

from sg_depth_ros.engines.tensorrt.progress import BuildProgress
from sg_depth_ros.node import engine_opening
from sg_depth_ros.node.engine_opening import BuildLog


@pytest.fixture
def now_s(monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(engine_opening.time, 'monotonic', lambda: now_s[0])
    return now_s


def test_a_fast_build_logs_a_line_for_every_tenth(now_s):
    lines = []
    log = BuildLog('model.onnx', lines.append, lambda progress: True)
    for step in range(1000):
        assert log(BuildProgress('phase', step / 1000, 0.1))
    assert len(lines) == 10
    assert 'model.onnx' in lines[3] and '30 %' in lines[3]


def test_a_slow_build_logs_a_line_every_ten_seconds(now_s):
    lines = []
    log = BuildLog('model.onnx', lines.append, lambda progress: True)
    for _ in range(100):  # 100 s without a step
        log(BuildProgress('phase', 0.01, now_s[0] - 1000))
        now_s[0] += 1
    assert len(lines) == 10
    assert 'after 90 s' in lines[-1]


def test_a_build_ends_when_the_node_does(now_s):
    go_on = [True]
    log = BuildLog('model.onnx', lambda line: None, lambda progress: go_on[0])
    assert log(BuildProgress('phase', 0.5, 1))
    go_on[0] = False
    assert not log(BuildProgress('phase', 0.5, 1))
