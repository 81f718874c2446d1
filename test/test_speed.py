"""What a training says of its speed, and when it complains of waiting for data."""

import time

import pytest
from lightning.pytorch.profilers import PassThroughProfiler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from training import train
from training.running import progress
from training.running import speed
from training.running.speed import FetchClock
from training.running.speed import SpeedMeter
from training.running.speed import duration
from training.running.speed import wait_advice


@pytest.fixture
def segmentation(tmp_path):
    return write_segmentation(tmp_path / 'segmentation.ckpt')


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


def test_speed_is_that_of_the_last_seconds():
    meter = SpeedMeter(0.0, step=100)
    for step in range(101, 161):
        meter.add(step - 100.0, step, samples=4, waited_s=0.0)
    assert meter.samples_per_s == pytest.approx(4.0)
    for step in range(161, 321):
        meter.add(60.0 + (step - 160) / 4, step, samples=4, waited_s=0.05)
    assert meter.samples_per_s == pytest.approx(16.0)
    assert meter.steps_per_s == pytest.approx(4.0)
    assert meter.wait_share == pytest.approx(0.2)
    assert '220 steps in 2 min, 8.8 samples/s, 8.0% of the time' in meter.whole()


def test_slow_steps_have_a_speed_too():
    meter = SpeedMeter(0.0, step=0)
    assert meter.samples_per_s == 0.0
    for step in (1, 2, 3):
        meter.add(100.0 * step, step, samples=8, waited_s=1.0)
        assert meter.samples_per_s == pytest.approx(0.08)


def test_the_first_steps_are_not_judged():
    meter = SpeedMeter(0.0, step=0)
    for step in range(1, 21):
        meter.add(float(step), step, samples=1, waited_s=0.9)
        assert meter.judged_wait_share is None
    for step in range(21, 61):
        meter.add(float(step), step, samples=1, waited_s=0.1)
    assert meter.judged_wait_share == pytest.approx(0.1)


def test_waiting_is_measured_around_fetching_alone_and_told_to_the_other_profiler():
    told = []

    class Other(PassThroughProfiler):
        def start(self, action_name):
            told.append(action_name)

    clock = FetchClock(Other())
    for action in ('run_training_batch', '[_TrainingEpochLoop].train_dataloader_next'):
        with clock.profile(action):
            time.sleep(0.02)
    waited_s = clock.take()
    assert waited_s >= 0.02
    assert clock.take() == 0.0
    assert len(told) == 2
    with clock.profile('run_training_batch'):
        time.sleep(0.02)
    assert clock.take() == 0.0


@pytest.mark.parametrize(
    ('workers', 'cores', 'says'),
    [
        (0, 8, '--data.workers 2 (now 0)'),
        (4, 16, '--data.workers 8 (now 4)'),
        (6, 8, '--data.workers 8 (now 6)'),
        (0, 1, '--data.workers 1 (now 0)'),
        (8, 8, 'more would not help'),
    ],
)
def test_the_advice_fits_the_machine(workers, cores, says):
    advice = wait_advice(0.234, workers, cores)
    assert 'waits for data 23% of the time' in advice
    assert says in advice


@pytest.mark.parametrize(
    ('seconds', 'text'), [(7.4, '7 s'), (150, '2 min'), (5400, '90 min'), (11100, '3 h 05 min')]
)
def test_times_are_written_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_run_without_terminal_prints_its_speed_and_logs_it(
    dataset, segmentation, tmp_path, capsys
):
    out = tmp_path / 'run'
    run = ['--trainer.max_steps=4', '--trainer.log_every_n_steps=2']
    train.main(options(dataset, segmentation, out, *run))
    lines = [line for line in capsys.readouterr().out.splitlines() if 'stage 1 ' in line]
    assert [line.split()[4] for line in lines] == ['1/4', '2/4', '3/4', '4/4']
    for line in lines:
        assert 'samples/s' in line
        assert 'waiting for data' in line
    assert lines[0].endswith('left')
    assert 'left' not in lines[-1]
    events = EventAccumulator(str(out / 'tensorboard')).Reload()
    rates = [event.value for event in events.Scalars('speed/samples_per_s')]
    assert len(rates) == 2
    assert all(rate > 0 for rate in rates)
    assert all(0 <= e.value < 1 for e in events.Scalars('speed/data_wait_share'))


@pytest.mark.parametrize(('share', 'warnings'), [(0.0, 1), (1.0, 0)])
def test_waiting_for_data_is_complained_of_once(
    dataset, segmentation, tmp_path, capsys, monkeypatch, share, warnings
):
    monkeypatch.setattr(speed, 'WARM_UP_STEPS', 1)
    monkeypatch.setattr(speed, 'JUDGED_AFTER_S', 0.0)
    monkeypatch.setattr(progress, 'LARGEST_WAIT_SHARE', share)
    train.main(options(dataset, segmentation, tmp_path / 'run', '--trainer.max_steps=4'))
    told = capsys.readouterr().out
    assert told.count('warning: training waits for data') == warnings
    assert told.count('--data.workers') == warnings
