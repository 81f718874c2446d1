"""Ctrl-C in a terminal reaches a launched node twice: from the terminal and from launch."""

import signal
import time

from node_harness import NodeProcess


def test_a_signal_that_comes_again_and_again_lets_the_node_end_in_order(tmp_path):
    with NodeProcess(tmp_path / 'log', tmp_path / 'missing.onnx') as node:
        while 'waiting to be configured' not in node.text:
            assert node.process.poll() is None, node.text
            time.sleep(0.05)
        while node.process.poll() is None:
            node.process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert node.process.returncode == 0, node.text
