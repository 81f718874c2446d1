"""What evaluate_bag does where a bag, a disk or our own code fails."""

import errno
import json

import cv2
import numpy as np
import pytest
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros import output
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from sg_depth_ros.replay.evaluate_bag import main
from sg_depth_ros.replay.offline import jobs as bag_jobs
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import check_size_of_message
from sg_depth_ros.replay.recorded_drive import recorded_camera


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx')


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    bag = tmp_path_factory.mktemp('bags') / 'good'
    write_tiny_bag(bag, tiny_contract(), frames=2)
    return bag


def evaluate(bags, model, out):
    command = [*bags, '--model', model, '--out', out, '--jobs', 1, '--gallery', 1]
    return main([str(word) for word in command])


def write_camera_bag(path, sizes, *, damaged=(), compressed=True):
    """Write an image of each size (width, height), some of them cut off in the middle."""
    camera = tiny_contract().intrinsics
    with BagWriter(path) as bag:
        for number, (width, height) in enumerate(sizes):
            stamp_ns = (10 + number) * 10**8
            bag.camera_info('/camera/camera_info', stamp_ns, 'camera', camera)
            image = np.full((height, width, 3), 10 * number, np.uint8)
            if compressed:
                data = cv2.imencode('.jpg', image)[1].tobytes()
                data = data[: len(data) // 2] if number in damaged else data
                topic = '/camera/image/compressed'
                bag.compressed_image(topic, stamp_ns, 'camera', data, 'jpeg')
            else:
                bag.image('/camera/image', stamp_ns, 'camera', image)
    return path


def network_size():
    contract = tiny_contract()
    return contract.width, contract.height


def test_a_first_image_that_cannot_be_decoded_is_left_out_like_any_other(model, tmp_path):
    bag = write_camera_bag(tmp_path / 'bag', [network_size()] * 4, damaged=[0, 1])
    assert evaluate([bag], model, tmp_path / 'out') == 0
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert found['frames'] == 2
    assert '2 of 4 images cannot be decoded' in found['bags'][0]['caution']


def test_a_bag_without_a_single_whole_image_says_what_is_wrong_with_the_first(tmp_path):
    path = write_camera_bag(tmp_path / 'bag', [network_size()] * 2, damaged=[0, 1])
    with open_bag(path) as bag, pytest.raises(UserError, match=r'at 1\.000 s: .*damaged'):
        recorded_camera(bag, BagOptions())


def test_images_that_change_their_size_are_no_end_of_the_recording(good, model, tmp_path, capsys):
    width, height = network_size()
    sizes = [(width, height), (width, height), (2 * width, 2 * height)]
    bag = write_camera_bag(tmp_path / 'sizes', sizes)
    assert evaluate([bag, good], model, tmp_path / 'out') == 2
    said = capsys.readouterr().err
    assert 'error: sizes was not judged: ' in said
    assert f'{2 * width}x{2 * height}, the first one was {width}x{height}' in said
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert found['drives'] == ['good']


@pytest.mark.parametrize('compressed', [True, False])
def test_a_change_of_size_is_seen_before_an_image_is_decoded(tmp_path, compressed):
    width, height = network_size()
    sizes = [(width, height), (width, height), (width, 2 * height)]
    path = write_camera_bag(tmp_path / 'sizes', sizes, damaged=[1], compressed=compressed)
    with open_bag(path) as bag:
        camera = recorded_camera(bag, BagOptions())
        first, second, third = bag.messages(camera.topics.image)
        check_size_of_message(first, camera)
        check_size_of_message(second, camera)
        with pytest.raises(UserError, match=f'at 1.200 s is {width}x{2 * height}'):
            check_size_of_message(third, camera)


def test_results_of_an_earlier_run_do_not_outlive_one_that_fails(
    good, model, tmp_path, monkeypatch
):
    out = tmp_path / 'out'
    assert evaluate([good], model, out) == 0
    (out / 'notes.txt').write_text('of the user')

    def fail(task, on_progress):
        task.kept.mkdir(parents=True)
        (task.kept / 'step').write_text('kept')
        raise UserError('it cannot be judged')

    monkeypatch.setattr(bag_jobs, 'judge_bag', fail)
    assert evaluate([good], model, out) == 2
    assert sorted(p.name for p in out.iterdir()) == ['notes.txt', 'unfinished']
    assert list(out.rglob('step'))


def test_a_defect_costs_one_bag_and_shows_its_traceback(
    good, model, tmp_path, monkeypatch, capsys
):
    other = tmp_path / 'other'
    write_tiny_bag(other, tiny_contract(), frames=2)
    judge = bag_jobs.judge_bag

    def fail_once(task, on_progress):
        if task.bag.name == 'other':
            raise IndexError('a defect of ours')
        judge(task, on_progress)

    monkeypatch.setattr(bag_jobs, 'judge_bag', fail_once)
    assert evaluate([other, good], model, tmp_path / 'out') == 2
    said = capsys.readouterr().err
    assert 'Traceback' in said
    assert 'other was not judged: IndexError: a defect of ours' in said
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert found['drives'] == ['good']


def test_other_errors_of_the_system_keep_their_traceback():
    def run_into(number):
        raise OSError(number, 'of the system', 'file')

    assert exit_on_user_error(lambda: run_into(errno.ENOSPC)) == 2
    with pytest.raises(OSError, match='of the system'):
        exit_on_user_error(lambda: run_into(errno.EIO))


@pytest.mark.parametrize('place', ['steps', 'elsewhere'])
def test_a_full_disk_is_one_line(good, model, tmp_path, monkeypatch, capsys, place):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, 'No space left on device')

    if place == 'steps':
        monkeypatch.setattr(output.Path, 'replace', refuse)
    else:
        monkeypatch.setattr(bag_jobs, 'judge_bag', refuse)
    assert evaluate([good], model, tmp_path / 'out') == 2
    said = capsys.readouterr().err
    assert 'Traceback' not in said
    lines = [line for line in said.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    assert ('No space left on device' if place == 'steps' else 'the disk is full') in lines[0]
