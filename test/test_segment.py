"""The ``segment`` verb, as a user calls it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_drives import write_labelled_drive
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from training.__main__ import main
from training.data.drive import labels_path
from training.data.drive import read_image
from training.data.drive import write_labels
from training.networks.segmentation import load_segmentation_checkpoint

CONFIG_FOLDER = Path(__file__).resolve().parents[1] / 'config' / 'training'
SMALL = [
    '--trainer.accelerator=cpu',
    '--model.network.width=8',
    '--model.network.pyramid_channels=16',
    '--model.learning_rate=0.01',
    '--data.batch_size=4',
    '--data.workers=0',
    '--data.validation_share=0.25',
]


@pytest.fixture
def dataset(tmp_path):
    write_labelled_drive(tmp_path / 'dataset' / 'drive', 16)
    return tmp_path / 'dataset'


def segment(dataset: Path, out: Path, *options: str) -> int:
    return main(['segment', f'--data.root={dataset}', f'--out={out}', *SMALL, *options])


def refusal(capsys) -> str:
    """Return the one line that a refused command prints."""
    message = capsys.readouterr().err.strip()
    assert message.startswith('error: ')
    assert '\n' not in message
    return message


def test_trains_and_writes_a_checkpoint_that_sees_the_classes(dataset, tmp_path, capsys):
    out = tmp_path / 'run'
    assert segment(dataset, out, '--trainer.max_steps=25') == 0
    assert f'semantic network: {out}/segmentation.ckpt' in capsys.readouterr().out
    network = load_segmentation_checkpoint(out / 'segmentation.ckpt')
    image = read_image(dataset / 'drive' / 'frames' / '000000.jpg')
    with torch.no_grad():
        logits = network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).logits[0]
    # The classes are three colours: no other may win anywhere.
    assert set(logits.argmax(dim=0).unique().tolist()) <= {0, 1, 2}
    assert (out / 'config.yaml').exists()
    assert list((out / 'tensorboard').glob('events*'))
    assert read_image(out / 'validation.png').shape == (3 * 32, 3 * 64, 3)


def test_checkpoints_hold_plain_types_only(dataset, tmp_path):
    out = tmp_path / 'run'
    assert segment(dataset, out, '--trainer.max_steps=3') == 0
    content = torch.load(out / 'segmentation.ckpt', weights_only=True)
    assert content['segmentation_config']['width'] == 8
    assert 'optimizer_states' not in content
    torch.load(out / 'checkpoints' / 'last.ckpt', weights_only=True)


def test_the_same_seed_gives_the_same_weights(dataset, tmp_path):
    for name in ('first', 'second'):
        assert segment(dataset, tmp_path / name, '--trainer.max_steps=4') == 0
    first, second = (
        load_segmentation_checkpoint(tmp_path / name / 'segmentation.ckpt').state_dict()
        for name in ('first', 'second')
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_goes_on_where_it_stopped(dataset, tmp_path, capsys):
    out = tmp_path / 'run'
    assert segment(dataset, out, '--trainer.max_steps=6') == 0
    assert segment(dataset, out, '--trainer.max_steps=9') == USER_ERROR_EXIT_STATUS
    assert '--resume' in refusal(capsys)
    assert segment(dataset, out, '--trainer.max_steps=9', '--resume=true') == 0
    assert torch.load(out / 'checkpoints' / 'last.ckpt', weights_only=True)['global_step'] == 9


class StopAfter(Callback):
    """Does what Ctrl-C or SIGTERM lets Lightning do."""

    def __init__(self, step: int, reason: type[BaseException]) -> None:
        self.step = step
        self.reason = reason

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise self.reason


@pytest.mark.parametrize('reason', [KeyboardInterrupt, SIGTERMException])
def test_interrupted_run_says_so_and_can_be_resumed(
    dataset, tmp_path, capsys, monkeypatch, reason
):
    out = tmp_path / 'run'
    monkeypatch.setattr('training.run_folder.STEPS_BETWEEN_CHECKPOINTS', 3)
    # Three steps per epoch; validation is rarer than checkpoints.
    options = ['--trainer.max_steps=9', '--trainer.check_val_every_n_epoch=2']
    progress = 'training.run_folder.TrainingProgress'
    with monkeypatch.context() as patch:
        patch.setattr(progress, lambda title: StopAfter(4, reason))
        assert segment(dataset, out, *options) == 130
    assert 'interrupted' in capsys.readouterr().err
    assert not (out / 'segmentation.ckpt').exists()
    assert torch.load(out / 'checkpoints' / 'last.ckpt', weights_only=True)['global_step'] == 3
    assert segment(dataset, out, *options, '--resume=true') == 0
    assert (out / 'segmentation.ckpt').exists()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--data.root=/nowhere'], '/nowhere: no such dataset folder'),
        (['--config=/nowhere.yaml'], 'nowhere.yaml'),
        (['--model.colour=3'], 'colour'),
        (['--model.network.width=0'], 'width'),
        (['--model.network.encoder_depth=19'], 'ResNet-19'),
        (['--model.class_weights={unicorn: 2.0}'], 'unicorn'),
        (['--data.validation_share=0.9'], 'validation_share'),
        (['--data.batch_size=many'], 'batch_size'),
        (['--trainer.accelerator=abacus'], 'abacus'),
        (['--resume=true'], 'nothing to resume'),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(dataset, tmp_path, capsys, options, said):
    out = tmp_path / 'run'
    assert segment(dataset, out, *options) == USER_ERROR_EXIT_STATUS
    assert said in refusal(capsys)
    assert not out.exists()


def test_run_folder_that_is_a_file_is_left_alone(dataset, tmp_path, capsys):
    out = tmp_path / 'notes.txt'
    out.write_text('mine')
    assert segment(dataset, out) == USER_ERROR_EXIT_STATUS
    assert str(out) in refusal(capsys)
    assert out.read_text() == 'mine'


def test_unknown_key_of_a_configuration_file_is_named(dataset, tmp_path, capsys):
    config = tmp_path / 'config.yaml'
    config.write_text('model:\n  network:\n    breadth: 3\n')
    assert segment(dataset, tmp_path / 'run', f'--config={config}') == USER_ERROR_EXIT_STATUS
    assert 'breadth' in refusal(capsys)


@pytest.mark.parametrize('workers', [0, 1])
def test_bad_labels_are_told_in_one_line_whoever_reads_them(dataset, tmp_path, capsys, workers):
    for index in range(16):
        path = labels_path(dataset / 'drive', index)
        write_labels(np.full((32, 64), 77, np.uint8), path)
    out = tmp_path / 'run'
    status = segment(dataset, out, f'--data.workers={workers}', '--trainer.max_steps=1')
    assert status == USER_ERROR_EXIT_STATUS
    assert 'class id 77' in refusal(capsys)
    assert not (out / 'segmentation.ckpt').exists()


@pytest.mark.parametrize('path', sorted(CONFIG_FOLDER.glob('segment*.yaml')), ids=lambda p: p.stem)
def test_configurations_are_understood(path, dataset, tmp_path):
    small = ['--trainer.max_steps=1', '--trainer.precision=32-true']
    if path.stem == 'segment':
        small.append('--trainer.max_epochs=1')
    options = [f'--data.root={dataset}', f'--out={tmp_path / "run"}', *SMALL, *small]
    assert main(['segment', f'--config={path}', *options]) == 0
