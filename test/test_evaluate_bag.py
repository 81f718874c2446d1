import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bag import IMAGE_TOPIC
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.replay.evaluate_bag import main

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx')


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'bag'
    write_tiny_bag(path, tiny_contract())
    return path


def evaluate(bag, model, out, *options):
    return main([str(bag), '--model', str(model), '--out', str(out), *options])


def metrics(out):
    return json.loads((out / 'metrics.json').read_text())


def test_a_perfect_model_has_no_error(bag, model, tmp_path):
    assert evaluate(bag, model, tmp_path / 'out', '--crop', 'none') == 0
    found = metrics(tmp_path / 'out')
    assert (found['frames'], found['images']) == (10, 10)
    # The tiny model calls the upper quarter sky, which is infinitely far; LiDAR saw it.
    below_sky = [row for row in found['per_class'] if row['name'] == 'road']
    assert below_sky[0]['unscaled']['abs_rel'] < 1e-4
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
        'evaluation.png',
        'frames.csv',
        'metrics.json',
        'models.csv',
        'report.html',
        'tables.md',
    ]


def test_the_garg_crop_is_the_default(bag, model, tmp_path):
    evaluate(bag, model, tmp_path / 'out')
    found = metrics(tmp_path / 'out')
    assert found['ground_truth']['crop'] == 'garg'
    assert found['unscaled']['abs_rel'] < 1e-4
    assert found['unscaled']['a1'] == 1.0
    assert found['scale_ratio']['median'] == pytest.approx(1.0, abs=1e-4)
    assert found['temporal_scale']['pairs'] == found['median_depth_change']['pairs'] == 9
    assert found['temporal_scale']['change_mean'] == pytest.approx(0.0, abs=1e-4)
    assert found['median_depth_change']['mean'] > 0  # the images get redder
    assert found['infinite_depth']['of_frames'] == 10


def test_depth_is_corrected_for_another_focal_length(model, tmp_path):
    write_tiny_bag(tmp_path / 'tele', tiny_contract(), focal_factor=2.0, frames=3)
    assert evaluate(tmp_path / 'tele', model, tmp_path / 'out') == 0
    assert metrics(tmp_path / 'out')['unscaled']['abs_rel'] < 1e-4


def test_a_cropped_image_is_judged_where_it_was_cropped(model, tmp_path):
    write_tiny_bag(tmp_path / 'high', tiny_contract(), rows_around=16, frames=3)
    assert evaluate(tmp_path / 'high', model, tmp_path / 'out', '--crop', 'none') == 0
    found = metrics(tmp_path / 'out')
    road = [row for row in found['per_class'] if row['name'] == 'road']
    assert road[0]['unscaled']['abs_rel'] < 1e-4


def test_equal_input_gives_equal_output(bag, model, tmp_path):
    for name in ('a', 'b'):
        evaluate(bag, model, tmp_path / name)
    first, second = ((tmp_path / n / 'metrics.json').read_bytes() for n in ('a', 'b'))
    assert first == second


def test_max_frames_stops_early(bag, model, tmp_path):
    evaluate(bag, model, tmp_path / 'out', '--max-frames', '3', '--image-topic', IMAGE_TOPIC)
    assert metrics(tmp_path / 'out')['frames'] == 3


def test_without_lidar_it_says_what_it_cannot_judge(model, tmp_path, capsys):
    write_tiny_bag(tmp_path / 'bag', tiny_contract(), frames=2, lidar=False)
    assert evaluate(tmp_path / 'bag', model, tmp_path / 'out') == 0
    found = metrics(tmp_path / 'out')
    assert found['ground_truth'] is None
    assert found['temporal_scale'] is None
    assert found['median_depth_change']['pairs'] == 1
    assert 'no LiDAR' in found['why']
    assert 'cannot be judged' in ' '.join(capsys.readouterr().out.split())
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'cannot be judged' in page
    assert 'AbsRel' not in page
    assert 'Infinite depth' in page
    assert 'data:image/jpeg' in page


def test_a_model_that_is_not_metric_is_judged_with_a_caution(bag, tmp_path):
    write_tiny_model(tmp_path / 'model.onnx', tiny_contract(metric=False))
    assert evaluate(bag, tmp_path / 'model.onnx', tmp_path / 'out') == 0
    assert metrics(tmp_path / 'out')['median_scaled']['abs_rel'] < 1e-4
    assert 'Without a scale' in (tmp_path / 'out' / 'report.html').read_text()


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        ({'bag': 'nowhere'}, 'no such bag'),
        ({'model': 'nowhere.onnx'}, 'no such model; give model.onnx'),
        ({'model': 'no_contract.onnx'}, 'no sg_depth_ros contract'),
        ({'bag': 'blind'}, 'no images'),
        ({'bag': 'uncalibrated'}, 'no camera_info'),
        ({'options': ['--lidar-topic', '/other']}, 'no topic /other'),
        ({'options': ['--image-topic', '/lidar']}, 'is sensor_msgs/msg/PointCloud2, not'),
        ({'options': ['--engine', 'tensorrt']}, 'TensorRT cannot be used'),
        ({'out': 'file'}, 'no folder can be made'),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(
    bag, model, tmp_path, capsys, monkeypatch, spoil, words
):
    monkeypatch.setitem(sys.modules, 'cuda', None)  # as on a machine without a GPU
    write_tiny_model(tmp_path / 'no_contract.onnx', with_contract=False)
    write_tiny_bag(tmp_path / 'blind', tiny_contract(), frames=2, images=False)
    write_tiny_bag(tmp_path / 'uncalibrated', tiny_contract(), frames=2, camera_info=False)
    (tmp_path / 'file').write_text('here first')
    used_bag = tmp_path / spoil['bag'] if 'bag' in spoil else bag
    used_model = tmp_path / spoil['model'] if 'model' in spoil else model
    out = tmp_path / spoil.get('out', 'new/out')
    assert evaluate(used_bag, used_model, out, *spoil.get('options', [])) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert words in lines[0]
    assert not (tmp_path / 'new').exists()
    assert (tmp_path / 'file').read_text() == 'here first'


def test_it_works_without_ros(bag, model, tmp_path):
    program = (
        'import sys\n'
        'sys.modules.update(dict.fromkeys(["rclpy", "sensor_msgs", "std_msgs"]))\n'
        'from sg_depth_ros.replay.evaluate_bag import main\n'
        f'sys.exit(main([{str(bag)!r}, "--model", {str(model)!r}, '
        f'"--out", {str(tmp_path / "out")!r}]))'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'out' / 'report.html').exists()
