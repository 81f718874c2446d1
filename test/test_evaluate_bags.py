import json
import multiprocessing
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tiny_bag import IMAGE_TOPIC
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.models import named_models
from sg_depth_ros.replay.evaluate_bag import main
from sg_depth_ros.replay.offline import jobs as bag_jobs
from sg_depth_ros.replay.offline import judged_bag
from sg_depth_ros.replay.offline.jobs import run_tasks
from sg_depth_ros.replay.offline.judged_bag import BagTask
from sg_depth_ros.replay.offline.judged_bag import NamedBag
from sg_depth_ros.replay.offline.judged_bag import judge_bag
from sg_depth_ros.replay.offline.judged_bag import task_key
from sg_depth_ros.replay.offline.kept_steps import KeptSteps
from sg_depth_ros.replay.offline.predictions import BagPredictor
from sg_depth_ros.replay.offline.survey import named_bags
from sg_depth_ros.replay.offline.survey import survey_bag
from sg_depth_ros.replay.offline.survey import survey_note
from sg_depth_ros.replay.recorded_drive import BagOptions

FILES = ('metrics.json', 'frames.csv', 'models.csv', 'tables.md')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp('model') / 'model.onnx')


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bags')
    for name, frames in (('one', 9), ('two', 5)):
        write_tiny_bag(folder / name, tiny_contract(), frames=frames)
    return folder / 'one', folder / 'two'


def evaluate(bags, models, out, *options):
    words = [*bags, '--model', *models, '--out', out, '--gallery', 1, *options]
    return main([str(word) for word in words])


def metrics(out):
    return json.loads((out / 'metrics.json').read_text())


def same_files(first, second):
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in FILES)


@pytest.fixture(scope='module')
def whole(bags, model, tmp_path_factory):
    out = tmp_path_factory.mktemp('whole') / 'out'
    assert evaluate(bags, [model], out, '--jobs', 1) == 0
    return out


def task_of(bag, model, kept, **options):
    bag, model = NamedBag(bag.name, bag, bag.name), named_models([str(model)])[0]
    chosen = BagOptions(**options)
    return BagTask(bag, model, chosen, kept, task_key(bag, model, chosen, 'auto', None))


def interrupted_after(task, images):
    """Judge a bag as far as Ctrl-C lets it."""

    def count(done):
        if done == images:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_bag(task, count)


def predicted_numbers(monkeypatch):
    """Return a list that the numbers of the predicted images go into."""
    numbers = []
    predict = BagPredictor._predict

    def noting(self, number, entry):
        numbers.append(number)
        return predict(self, number, entry)

    monkeypatch.setattr(BagPredictor, '_predict', noting)
    return numbers


def test_bags_are_judged_each_and_together(whole):
    found = metrics(whole)
    assert found['frames'] == 14
    assert found['drives'] == ['one', 'two']
    assert {name: bag['frames'] for name, bag in found['per_bag'].items()} == {'one': 9, 'two': 5}
    assert [bag['name'] for bag in found['bags']] == ['one', 'two']
    assert 'unfinished' not in [p.name for p in whole.iterdir()]


def test_processes_find_what_one_finds(bags, model, whole, tmp_path):
    assert evaluate(bags, [model], tmp_path / 'out', '--jobs', 2) == 0
    assert same_files(whole, tmp_path / 'out')


def test_models_are_compared_on_equal_frames(bags, model, tmp_path):
    near = tmp_path / 'near.onnx'
    write_tiny_model(near, tiny_contract(metric=False))
    models = [f'metric={model}', f'scaleless={near}']
    assert evaluate(bags[1:], models, tmp_path / 'out', '--jobs', 1) == 0
    found = metrics(tmp_path / 'out')
    assert [m['model']['name'] for m in found['models']] == ['metric', 'scaleless']
    assert [m['frames'] for m in found['models']] == [5, 5]
    assert found['differences'][0]['frames'] == 5


def test_bags_of_one_name_are_told_apart(tmp_path):
    names = [bag.name for bag in named_bags([tmp_path / 'monday/x', tmp_path / 'tuesday/x'])]
    assert names == ['monday/x', 'tuesday/x']
    with pytest.raises(UserError, match='given twice'):
        named_bags([tmp_path / 'x', tmp_path / 'y' / '..' / 'x'])


def test_bags_whose_names_give_one_folder_name_are_kept_apart(tmp_path):
    paths = [tmp_path / name for name in ('x y', 'x_y', 'x_y_2')]
    assert [bag.name for bag in named_bags(paths)] == ['x y', 'x_y', 'x_y_2']
    assert [bag.folder_name for bag in named_bags(paths)] == ['x_y', 'x_y_2', 'x_y_2_2']


def test_a_bag_and_a_file_in_it_are_one_bag(bags):
    file = next(bags[0].glob('*.mcap'))
    with pytest.raises(UserError, match=r'one.*: given twice, also as .*one'):
        named_bags([*bags, file])


def test_an_interrupted_evaluation_goes_on(bags, model, whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'

    def interrupted_judge(task):
        interrupted_after(task, 4)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bag_jobs, 'judge_bag', lambda task, _: interrupted_judge(task))
        assert evaluate(bags, [model], out, '--jobs', 1) == 130
    assert 'the same command goes on' in capsys.readouterr().err
    assert not (out / 'metrics.json').exists()
    with monkeypatch.context() as patch:
        numbers = predicted_numbers(patch)
        assert evaluate(bags, [model], out, '--jobs', 1) == 0
    assert numbers[:10] == [4, 5, 6, 7, 8, 0, 1, 2, 3, 4]
    assert '4 images were done before' in capsys.readouterr().err
    assert same_files(whole, out)
    assert not (out / 'unfinished').exists()


def test_only_the_last_step_is_lost_to_a_kill(bags, model, tmp_path, monkeypatch):
    monkeypatch.setattr(judged_bag, 'STEP_FRAMES', 3)
    undisturbed = task_of(bags[0], model, tmp_path / 'undisturbed')
    judge_bag(undisturbed)
    task = task_of(bags[0], model, tmp_path / 'kept')
    interrupted_after(task, 8)
    steps = sorted((tmp_path / 'kept').iterdir())
    assert [p.name for p in steps] == ['000000.json', '000003.json', '000006.json']
    steps[-1].unlink()  # which a killed process would not have come to
    (tmp_path / 'kept' / '.000006.json.abc').write_text('half')
    numbers = predicted_numbers(monkeypatch)
    judge_bag(task)
    assert numbers == [6, 7, 8]
    assert task.steps().outcome() == undisturbed.steps().outcome()
    found, expected = task.steps().read(), undisturbed.steps().read()
    assert found.received_ns == expected.received_ns
    assert [f.median_depth for f in found.found] == [f.median_depth for f in expected.found]


def test_ctrl_c_right_after_a_step_was_kept_does_not_double_it(bags, model, tmp_path, monkeypatch):
    monkeypatch.setattr(judged_bag, 'STEP_FRAMES', 3)
    undisturbed = task_of(bags[0], model, tmp_path / 'undisturbed')
    judge_bag(undisturbed)
    task = task_of(bags[0], model, tmp_path / 'kept')
    write = KeptSteps.write

    def write_and_interrupt(steps, *step):
        write(steps, *step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(KeptSteps, 'write', write_and_interrupt)
        judge_bag(task)
    assert task.steps().read().images == 3
    judge_bag(task)
    assert task.steps().outcome() == undisturbed.steps().outcome()
    assert task.steps().read().received_ns == undisturbed.steps().read().received_ns


@pytest.mark.parametrize('changed', ['nothing', 'model', 'bag', 'options'])
def test_what_was_found_of_other_input_is_not_taken(changed, tmp_path, monkeypatch):
    model, bag = tmp_path / 'model.onnx', tmp_path / 'bag'
    write_tiny_model(model)
    write_tiny_bag(bag, tiny_contract(), frames=4)
    interrupted_after(task_of(bag, model, tmp_path / 'kept'), 2)
    if changed == 'model':
        write_tiny_model(model, tiny_contract(metric=False))
    elif changed == 'bag':
        os.utime(bag / 'metadata.yaml', (1, 1))
    numbers = predicted_numbers(monkeypatch)
    options = {'crop': 'none'} if changed == 'options' else {}
    judge_bag(task_of(bag, model, tmp_path / 'kept', **options))
    assert numbers == ([2, 3] if changed == 'nothing' else [0, 1, 2, 3])


def test_a_bag_that_cannot_be_read_does_not_spoil_the_others(bags, model, tmp_path, capsys):
    damaged = tmp_path / 'damaged'
    write_tiny_bag(damaged, tiny_contract(), frames=2)
    next(damaged.glob('*.mcap')).write_bytes(b'nothing of the kind')
    assert evaluate([damaged, bags[1]], [model], tmp_path / 'out') == 2
    assert 'error: damaged was not judged' in capsys.readouterr().err
    found = metrics(tmp_path / 'out')
    assert found['drives'] == ['two']
    assert 'Not evaluated' in found['bags'][0]['caution']
    assert 'Not evaluated' in (tmp_path / 'out' / 'report.html').read_text()


def test_a_process_that_is_killed_takes_no_other_with_it(bags, model, tmp_path):
    tasks = [task_of(bag, model, tmp_path / bag.name) for bag in bags]

    def kill_the_first(task, images):
        if task == 0 and images == 0:
            for process in multiprocessing.active_children():
                if process.name == names[0]:
                    process.kill()

    names = []
    start = multiprocessing.get_context('spawn').Process.start

    def noting(process):
        start(process)
        names.append(process.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing.get_context('spawn').Process, 'start', noting)
        failed = run_tasks(tasks, 2, kill_the_first)
    assert [f.task.bag.name for f in failed] == ['one']
    assert 'exit status -9' in failed[0].reason
    outcome = tasks[1].steps().outcome()
    assert outcome is not None
    assert outcome.images == 5


def test_a_recording_that_broke_off_is_judged_as_far_as_it_goes(model, tmp_path):
    bag = tmp_path / 'bag'
    write_tiny_bag(bag, tiny_contract(), frames=3)
    file = next(bag.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[:-40])  # the footer and a little more
    assert evaluate([bag], [model], tmp_path / 'out') == 0
    found = metrics(tmp_path / 'out')
    assert found['frames'] == 3
    assert 'broke off' in found['bags'][0]['caution']


def test_an_image_that_cannot_be_decoded_is_left_out_and_told_of(model, tmp_path, monkeypatch):
    contract = tiny_contract()
    with BagWriter(tmp_path / 'bag') as bag:
        for number in range(4):
            stamp_ns = 10**9 + number * 10**8
            bag.camera_info('/camera/camera_info', stamp_ns, 'camera', contract.intrinsics)
            image = np.zeros((contract.height, contract.width, 3), np.uint8)
            data = cv2.imencode('.jpg', image)[1].tobytes()
            data = data[:100] if number == 2 else data
            bag.compressed_image('/camera/image/compressed', stamp_ns, 'camera', data, 'jpeg')
    monkeypatch.setattr(judged_bag, 'STEP_FRAMES', 3)
    task = task_of(tmp_path / 'bag', model, tmp_path / 'kept')
    interrupted_after(task, 3)
    judge_bag(task)
    kept = task.steps().read()
    assert [f.entry.frame for f in kept.found] == [0, 1, 3]
    survey = survey_bag(task.bag, task.options)
    note = survey_note(survey, task.steps().outcome(), kept.damage, kept.found)
    assert '1 of 4 images cannot be decoded' in note.caution
    assert 'truncated JPEG' in note.caution


def test_a_bag_is_judged_up_to_where_it_is_damaged(model, tmp_path):
    camera = tiny_contract().intrinsics.resized(600, 400)
    image = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    with BagWriter(tmp_path / 'bag', 'mcap') as bag:
        for stamp_ns in range(0, 8 * 10**8, 10**8):
            bag.camera_info('/camera/camera_info', stamp_ns, 'camera', camera)
            bag.image('/camera/image', stamp_ns, 'camera', image)
    with next((tmp_path / 'bag').glob('*.mcap')).open('r+b') as file:
        file.seek(4 * image.size)
        file.write(bytes([255]) * image.size)
    task = task_of(tmp_path / 'bag', model, tmp_path / 'kept')
    judge_bag(task)
    outcome = task.steps().outcome()
    assert 2 <= outcome.images <= 4
    assert 'the bag cannot be read' in outcome.broken_off


def test_predictions_are_written_on_the_topics_of_the_node(bags, model, whole, tmp_path, capsys):
    out = tmp_path / 'out'
    assert evaluate(bags, [model], out, '--predictions', '--jobs', 1) == 0
    assert same_files(whole, out)
    with open_bag(out / 'predictions' / 'two') as bag, open_bag(bags[1]) as source:
        counts = {t.name.removeprefix('/depth_node/'): t.count for t in bag.topics}
        assert counts == dict.fromkeys(
            (
                'image_rect_color',
                'depth/image',
                'depth/camera_info',
                'semantic/mask',
                'semantic/color',
                'points',
            ),
            5,
        )
        stamps = [d.stamp_ns for d in bag.depth_images('/depth_node/depth/image')]
        images = source.images(source.camera(IMAGE_TOPIC))
        assert stamps == [image.stamp_ns for image in images]
        cloud = next(bag.clouds('/depth_node/points'))
        assert cloud.frame_id == 'camera'
        assert len(cloud.points) > 0
    assert evaluate(bags, [model], out, '--predictions') == 2
    assert 'predictions/one: exists already' in capsys.readouterr().err


def test_a_bag_of_predictions_begins_anew_after_an_interruption(bags, model, tmp_path):
    path = tmp_path / 'predictions'
    task = replace(task_of(bags[1], model, tmp_path / 'kept'), predictions=path, storage='sqlite3')
    interrupted_after(task, 2)
    assert not path.exists()
    judge_bag(task)
    with open_bag(path) as bag:
        assert {t.count for t in bag.topics} == {5}
