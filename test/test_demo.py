import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from sg_depth_ros.errors import UserError
from sg_depth_ros.metrics import DepthMetrics
from training import demo
from training.demo_result import DemoResult
from training.demo_result import Step
from training.demo_result import print_result
from training.demo_result import read_judged
from training.demo_result import read_replayed
from training.demo_result import write_demo_report
from training.demo_steps import MARKER
from training.demo_steps import StepFailedError
from training.demo_steps import Steps
from training.demo_steps import start_clean

UNSCALED = DepthMetrics(0.25, 1.5, 6.5, 0.3, 0.2, 0.71, 0.9, 0.95)
SCALED = DepthMetrics(0.18, 1.2, 6.1, 0.25, 0.2, 0.81, 0.92, 0.97)


def write_metrics(path: Path, judged: bool = True) -> Path:
    run = {'frames_in': 51, 'depth_images': 51, 'camera_infos': 51, 'clouds': 50}
    latency = {'p50': 12.34, 'p95': 23.45, 'p99': 30.0, 'max': 40.0}
    document = {
        'passed': False,
        'failures': ['lock step: a cloud is missing'],
        'runs': {
            'lock_step': {**run, 'latency_ms': latency},
            'recorded_speed': {**run, 'depth_images': 0, 'latency_ms': None},
        },
        'images': 26 if judged else 0,
    }
    if judged:
        truth = {'ground_truth': {'cap_m': 80.0}}
        document |= {'unscaled': asdict(UNSCALED), 'median_scaled': asdict(SCALED), **truth}
    else:
        document |= {'ground_truth': None, 'why': 'no LiDAR in this bag'}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def result_of(path: Path) -> DemoResult:
    judged = read_judged(path)
    return DemoResult(
        name='a drive',
        cautions=('Take <care>.',),
        trained=judged,
        exported=judged,
        published=judged,
        replayed=read_replayed(path),
        steps=(Step('prepare', 'python -m training prepare drive', 61.0),),
    )


def printed(result: DemoResult, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    print_result(result, out, Console(width=100))
    return capsys.readouterr().out


def test_numbers_reach_the_terminal_and_the_page(tmp_path, capsys):
    result = result_of(write_metrics(tmp_path / 'metrics.json'))
    text = printed(result, tmp_path, capsys)
    for expected in ('0.250', '0.180', '6.500', '0.810', ' 12 ', ' 23 ', '1.0 minutes'):
        assert expected in text
    assert 'failed: lock step: a cloud is missing' in text
    assert str(tmp_path / 'model.onnx') in text
    cv2.imwrite(str(tmp_path / 'strip.png'), np.full((8, 8, 3), 99, np.uint8))
    write_demo_report(result, tmp_path)
    page = (tmp_path / 'report.html').read_text()
    for expected in ('0.250', '0.180', 'data:image/', 'prepare drive', 'Take &lt;care&gt;.'):
        assert expected in page


def test_without_lidar_both_say_what_could_not_be_judged(tmp_path, capsys):
    result = result_of(write_metrics(tmp_path / 'metrics.json', judged=False))
    text = printed(result, tmp_path, capsys)
    assert 'no LiDAR in this bag' in text
    assert 'AbsRel' not in text
    write_demo_report(result, tmp_path)
    page = (tmp_path / 'report.html').read_text()
    assert 'no LiDAR in this bag' in page
    assert 'AbsRel' not in page


def test_a_folder_that_the_demo_did_not_make_stays(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('years of work')
    with pytest.raises(UserError, match='was not made by the demo'):
        start_clean(tmp_path / 'mine', None)
    assert (tmp_path / 'mine' / 'thesis.txt').exists()


def test_an_older_demo_is_replaced(tmp_path):
    start_clean(tmp_path / 'demo', None)
    (tmp_path / 'demo' / 'model.onnx').touch()
    start_clean(tmp_path / 'demo', None)
    assert [p.name for p in (tmp_path / 'demo').iterdir()] == [MARKER]


@pytest.mark.parametrize('place', ['demo', 'demo/drive', '.'])
def test_the_drive_is_never_where_the_demo_cleans(tmp_path, place):
    start_clean(tmp_path / 'demo', None)
    (tmp_path / 'demo' / 'drive').mkdir()
    with pytest.raises(UserError, match='must lie apart'):
        start_clean(tmp_path / 'demo', tmp_path / place)
    assert (tmp_path / 'demo' / 'drive').exists()


def test_a_wrong_drive_removes_nothing(tmp_path):
    start_clean(tmp_path / 'demo', None)
    (tmp_path / 'demo' / 'model.onnx').touch()
    (tmp_path / 'holiday').mkdir()
    for drive, why in (('missing', 'no such file'), ('holiday', 'unknown kind of recording')):
        with pytest.raises(UserError, match=why):
            demo.main(['--drive', str(tmp_path / drive), '--out', str(tmp_path / 'demo')])
    assert (tmp_path / 'demo' / 'model.onnx').exists()


def test_a_failing_command_stops_the_demo_with_its_status(capfd):
    steps = Steps(Console())
    steps.run('help', 'training', '--help')
    with pytest.raises(StepFailedError, match='exit status 2') as failure:
        steps.run('prepare', 'training prepare', '/no/such/drive', '--out', '/no/such/dataset')
    assert failure.value.status == 2
    shown = capfd.readouterr()
    assert '$ python -m training prepare /no/such/drive --out /no/such/dataset' in shown.out
    assert 'error: /no/such/drive: no such file or folder' in shown.err
    assert 'Traceback' not in shown.err


def test_damaged_metrics_are_a_readable_error(tmp_path):
    (tmp_path / 'metrics.json').write_text('{"images"')
    with pytest.raises(UserError, match='no metrics can be read'):
        read_judged(tmp_path / 'metrics.json')
