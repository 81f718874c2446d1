"""Evaluation of several models in one table, and the files that an evaluation leaves."""

import csv
import json
import threading
import time
from pathlib import Path

import cv2
import pytest
from folder_bytes import tree
from tiny_dataset import road_depth_m
from tiny_dataset import write_dataset
from tiny_dataset import write_road_model
from tiny_dataset import write_standing_car
from tiny_model import tiny_contract
from tiny_model import write_tiny_model

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.comparison import compare
from sg_depth_ros.evaluation.error_maps import ErrorMaps
from sg_depth_ros.evaluation.finished import keep
from sg_depth_ros.evaluation.finished import kept
from sg_depth_ros.evaluation.gallery import choose_frames
from sg_depth_ros.evaluation.in_order import in_order
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.evaluation.models import named_models
from sg_depth_ros.evaluation.tables import difference_sentences
from training import evaluate as evaluate_verb
from training.__main__ import main as run_verb
from training.data.drive import read_drive
from training.evaluation.frames import DatasetFrames
from training.evaluation.judging import evaluation_key
from training.exporting.export_model import read_validation

LIDAR_AT = (0, 2, 4, 9)


def write_models(folder: Path):
    """Write a model that is right, one that sees everything a third too far, and a dataset."""
    contract = tiny_contract()
    write_road_model(folder / 'right.onnx')
    write_tiny_model(folder / 'far.onnx', contract, ramp_m=1.3 * road_depth_m(contract.intrinsics))
    write_dataset(folder / 'data', frames=10, lidar_at=LIDAR_AT, with_labels=True)
    write_standing_car(folder / 'data', 4)
    return named_models([f'{folder}/right.onnx', f'far={folder}/far.onnx'])


def words(folder: Path, *more: str):
    given = [f'{folder}/right.onnx', f'far={folder}/far.onnx']
    where = ['--data', f'{folder}/data', '--out', f'{folder}/out']
    return ['evaluate', '--model', *given, *where, *more]


@pytest.fixture
def models(tmp_path: Path):
    return write_models(tmp_path)


@pytest.fixture(scope='module')
def evaluated(tmp_path_factory: pytest.TempPathFactory):
    """Return the folder of one evaluation of both models, with its findings."""
    folder = tmp_path_factory.mktemp('evaluated')
    models = write_models(folder)
    options = evaluate_verb.EvaluationOptions(error_maps=None)
    frames = DatasetFrames(folder / 'data')
    return folder / 'out', evaluate_verb.evaluate(models, frames, folder / 'out', options)


def test_several_models_stand_in_one_table(evaluated):
    out, findings = evaluated
    text = '\n'.join(difference_sentences(findings))
    assert 'Unscaled, far beats right.onnx in 0 of 4 frames, is worse in 4 and alike' in text
    assert 'far beats right.onnx in 1 of 4 frames, is worse in 0 and alike in 3' in text
    document = json.loads((out / 'metrics.json').read_text())
    assert [m['model']['name'] for m in document['models']] == ['right.onnx', 'far']
    right, far = (m['unscaled']['abs_rel'] for m in document['models'])
    unscaled = next(d for d in document['differences'] if d['scaling'] == 'unscaled')
    assert unscaled['mean'] == pytest.approx(far - right)
    assert (unscaled['worse_frames'], unscaled['better_frames']) == (4, 0)
    assert (unscaled['drives'], unscaled['worse_drives']) == (1, 1)
    assert f'| far | {far:.3f} |' in (out / 'tables.md').read_text()


def test_the_page_needs_nothing_else(evaluated):
    page = (evaluated[0] / 'report.html').read_text()
    assert 'Worst frames' in page
    assert '<script' not in page
    assert 'http' not in page.replace('http://www.w3.org', '')


def test_the_metrics_of_each_model_can_go_into_its_contract(evaluated):
    stated = read_validation(evaluated[0] / 'far' / 'metrics.json')
    assert stated['images'] == 4
    assert stated['abs_rel'] > 0.2


def test_tables_per_frame_and_per_model_are_csv(evaluated):
    frames = list(csv.DictReader((evaluated[0] / 'frames.csv').open()))
    assert [f['model'] for f in frames] == ['right.onnx'] * 10 + ['far'] * 10
    judged = [f for f in frames[10:] if f['lidar_points'] != '0']
    assert tuple(int(f['frame']) for f in judged) == LIDAR_AT
    per_model = list(csv.DictReader((evaluated[0] / 'models.csv').open()))
    mean = sum(float(f['unscaled_abs_rel']) for f in judged) / len(judged)
    assert float(per_model[1]['unscaled_abs_rel']) == pytest.approx(mean, rel=1e-4)
    assert frames[1]['unscaled_abs_rel'] == ''
    stamps = [f.stamp_ns for f in read_drive(evaluated[0].parent / 'data' / 'road').frames]
    assert float(frames[1]['time_s']) == pytest.approx((stamps[1] - stamps[0]) * 1e-9)
    assert float(frames[3]['road_residual']) < 0.05
    assert [f['frame'] for f in frames if f['vehicles_missing'] == '1'] == ['4', '4']
    assert float(judged[0]['scale_ratio']) == pytest.approx(1 / 1.3, rel=0.02)


def test_error_maps_are_of_the_lidars_size_and_tell_too_far_from_right(evaluated):
    out, _ = evaluated
    names = sorted(p.name for p in (out / 'far' / 'error_maps').iterdir())
    assert names == [f'road_{i:06d}.png' for i in LIDAR_AT]
    right, far = (
        cv2.imread(str(out / model / 'error_maps' / names[0]))[24 : 24 + 64]
        for model in ('right.onnx', 'far')
    )
    assert far.shape == (64, 128, 3)
    middle = (50, 64)
    assert right[middle].min() > 200  # white
    assert far[middle][2] > far[middle][0] + 80  # red


def test_error_maps_of_an_earlier_evaluation_go(tmp_path: Path, models):
    run_verb(words(tmp_path, '--error-maps', 'all'))
    run_verb(words(tmp_path, '--error-maps', '2'))
    assert len(list((tmp_path / 'out' / 'far' / 'error_maps').iterdir())) == 2


def test_models_that_were_done_are_not_judged_again_after_an_interruption(
    tmp_path: Path, models, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    judge_model, judged = evaluate_verb.judge_model, []  # type: ignore[attr-defined]

    def interrupted(engine, model, *more, **named):
        judged.append(model.name)
        if len(judged) == 2:
            raise KeyboardInterrupt
        return judge_model(engine, model, *more, **named)

    monkeypatch.setattr(evaluate_verb, 'judge_model', interrupted)
    assert run_verb(words(tmp_path)) == 130
    assert run_verb(words(tmp_path)) == 0
    assert judged == ['right.onnx', 'far', 'far']
    assert 'right.onnx: done before the interruption' in capsys.readouterr().out
    resumed = tree(tmp_path / 'out')
    assert run_verb(words(tmp_path)) == 0
    assert judged[3:] == ['right.onnx', 'far']  # a finished evaluation starts anew
    assert tree(tmp_path / 'out') == resumed


def test_what_was_kept_of_other_input_is_not_taken(tmp_path: Path, models, evaluated):
    frames, found = DatasetFrames(tmp_path / 'data'), evaluated[1][0]
    keep(found.frames, 'key', tmp_path / 'kept.json')
    read = kept(tmp_path / 'kept.json', 'key')
    assert read is not None
    again = assemble_findings(models[0], found.contract, frames.name, JudgingOptions(), read)
    assert again.to_json() == found.to_json()
    assert again.frames[4].score.plane.offset_m == found.frames[4].score.plane.offset_m
    assert [f.standing.vehicles for f in again.frames] == [
        f.standing.vehicles for f in found.frames
    ]
    assert any(f.standing.vehicles for f in found.frames)
    assert kept(tmp_path / 'kept.json', 'other') is None
    assert kept(tmp_path / 'none.json', 'key') is None


def test_the_fingerprint_knows_model_frames_and_options(tmp_path: Path, models):
    frames, maps = DatasetFrames(tmp_path / 'data'), ErrorMaps(tmp_path, frozenset())
    entries, options = frames.entries, JudgingOptions()
    first = evaluation_key(models[0], frames, entries, options, maps)
    assert evaluation_key(models[0], frames, entries, options, maps) == first
    others = [
        evaluation_key(models[0]._replace(path=models[1].path), frames, entries, options, maps),
        evaluation_key(models[0], frames, entries[1:], options, maps),
        evaluation_key(models[0], frames, entries, options._replace(flip=True), maps),
    ]
    frames.path(entries[0]).write_bytes(b'another')
    others.append(evaluation_key(models[0], frames, entries, options, maps))
    assert len({first, *others}) == 5


def test_a_model_without_scale_is_ranked_by_the_median(
    tmp_path: Path, models, capsys: pytest.CaptureFixture[str]
):
    write_road_model(tmp_path / 'far.onnx', metric=False)
    run_verb(words(tmp_path))
    printed = capsys.readouterr().out
    assert 'Without a scale: far' in printed
    assert 'Unscaled, far beats' not in printed
    assert 'Per measured distance: AbsRel, median-scaled' in printed


def test_names_tell_models_apart(tmp_path: Path):
    paths = []
    for folder in ('a/x', 'b/x'):
        (tmp_path / folder).mkdir(parents=True)
        paths.append(tmp_path / folder / 'depth.ckpt')
        paths[-1].write_bytes(b'')
    first, second, third = named_models([str(paths[0]), str(paths[1]), f'mine={paths[0]}'])
    assert (first.name, third.name) == ('a/x/depth.ckpt', 'mine')
    assert second.folder_name == 'b_x_depth.ckpt'
    assert named_models([str(paths[0])])[0].name == 'depth.ckpt'
    for wrong in ([f'm={paths[0]}', f'm={paths[1]}'], [str(paths[0]), str(tmp_path / 'none')]):
        with pytest.raises(UserError, match=r'two models|no such model'):
            named_models(wrong)


def test_shown_frames_are_no_neighbours_and_shown_once(evaluated):
    shelves = {s.title: [e.frame for e in s.entries] for s in choose_frames(evaluated[1], 2)}
    assert shelves['Worst frames'][0] == 4  # its red car is seen too far
    assert all(abs(a - b) >= 5 for a, b in (s for s in shelves.values() if len(s) == 2))
    every = [frame for shelf in shelves.values() for frame in shelf]
    assert len(every) == len(set(every))


def test_frames_without_lidar_are_no_part_of_a_comparison(evaluated):
    right, far = evaluated[1]
    assert compare(far, right, 'unscaled').frames == len(LIDAR_AT)
    itself = compare(far, far, 'unscaled')
    assert (itself.better_frames, itself.worse_frames, itself.mean) == (0, 0, 0.0)


def test_results_come_in_order_and_errors_come_through():
    def slowest_first(number: int) -> int:
        time.sleep(0.01 if number == 0 else 0)
        return 10 // (7 - number)

    expected = [10 // (7 - n) for n in range(7)]
    assert list(in_order(slowest_first, range(7), threads=3, most_waiting=2)) == expected
    with pytest.raises(ZeroDivisionError):
        list(in_order(slowest_first, range(9), threads=3, most_waiting=2))


def test_no_more_items_are_made_than_may_wait():
    made, go = [], threading.Event()

    def items():
        for number in range(50):
            made.append(number)
            if len(made) == 6:
                go.set()  # else nobody would: the first item waits for the sixth
            yield number

    def wait(number: int) -> int:
        go.wait(10)
        return number

    results = in_order(wait, items(), threads=1, most_waiting=5)
    assert next(results) == 0
    assert len(made) == 6
    results.close()


def test_no_model_is_judged_where_one_is_missing(tmp_path: Path, models):
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'nothing')
    with pytest.raises(UserError):
        evaluate_verb.evaluate(
            [models[0], NamedModel('broken', broken)],
            DatasetFrames(tmp_path / 'data'),
            tmp_path / 'out',
        )
    assert not (tmp_path / 'out').exists()
