"""The ``segment`` verb, as a user calls it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_drives import write_labelled_drive
from labelled_folders import write_cityscapes
from labelled_folders import write_pair
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_run import save_every

from sg_depth_ros.errors import USER_ERROR_EXIT_STATUS
from training.__main__ import main
from training.data.drive import labels_path
from training.data.drive import read_image
from training.data.drive import write_labels
from training.data.segmentation_dataset import SegmentationSample
from training.networks.resnet import ResNetEncoder
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import load_segmentation_checkpoint
from training.objective.confusion import SegmentationScore
from training.objective.segmentation_module import SegmentationModule
from training.objective.segmentation_module import prediction_panel

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


def test_trains_a_resnet50_on_cityscapes_from_given_weights(tmp_path, capsys):
    write_cityscapes(tmp_path / 'city', 6, 3, train_ids=False)
    weights = tmp_path / 'resnet50.pth'
    torch.manual_seed(0)
    torch.save(ResNetEncoder(50, width=8).state_dict(), weights)
    options = [
        '--model.network.encoder_depth=50',
        f'--model.encoder_weights={weights}',
        '--data.height=64',
        '--data.width=64',
        '--data.scale=1',
        '--trainer.max_steps=6',
    ]
    assert segment(tmp_path / 'city', tmp_path / 'run', *options) == 0
    plan = '6 labelled images to learn from at 64x64, 3 held out'
    assert plan in capsys.readouterr().out
    network = load_segmentation_checkpoint(tmp_path / 'run' / 'segmentation.ckpt')
    assert network.config.encoder_depth == 50
    # Whole images are validated: three of 128x64, each beside its labels and the prediction.
    picture = read_image(tmp_path / 'run' / 'validation.png')
    assert picture.shape == (3 * 64, 3 * 128, 3)
    assert (picture[:8, 128:256] == 0).all()  # not trained in these labels
    assert segment(tmp_path / 'city', tmp_path / 'other', *options[1:]) == USER_ERROR_EXIT_STATUS
    assert f'{weights}: layer1.0.bn3.bias is no part of ResNet-18' in refusal(capsys)
    assert not (tmp_path / 'other').exists()


def test_training_starts_from_the_given_weights(tmp_path):
    saved = ResNetEncoder(18, width=8)
    torch.save(saved.state_dict(), tmp_path / 'resnet18.pth')
    config = SegmentationConfig(width=8, pyramid_channels=16)
    module = SegmentationModule(config, encoder_weights=tmp_path / 'resnet18.pth')
    found = module.network.encoder.state_dict()
    assert all(torch.equal(found[k], v) for k, v in saved.state_dict().items())


def test_trains_on_pairs_of_folders_whose_images_differ_in_size(tmp_path, capsys):
    folders = {name: tmp_path / name for name in ('images', 'labels', 'judging', 'judging_labels')}
    write_pair(folders['images'], folders['labels'], ['a', 'b', 'c', 'd'], (100, 70))
    write_pair(folders['images'], folders['labels'], ['d'], (64, 120), suffix='.png')
    write_pair(folders['judging'], folders['judging_labels'], ['x', 'y'], (90, 60))
    options = [
        *('--data.images', str(folders['images'])),
        *('--data.labels', str(folders['labels'])),
        *('--data.validation_images', str(folders['judging'])),
        *('--data.validation_labels', str(folders['judging_labels'])),
        *('--data.height', '64', '--data.width', '64', '--trainer.max_steps', '2'),
    ]
    run = ['--out', str(tmp_path / 'run')]
    assert main(['segment', *SMALL, *run, *options]) == 0
    assert '4 labelled images to learn from at 64x64, 2 held out' in capsys.readouterr().out
    # 90x60 is scaled to cover 64 rows and filled up to multiples of 32.
    assert read_image(tmp_path / 'run' / 'validation.png').shape == (2 * 64, 3 * 96, 3)


def test_rate_falls_along_the_polynomial_also_where_a_run_is_made_longer(dataset, tmp_path):
    out = tmp_path / 'run'
    rates = []
    for steps, resume in ((6, 'false'), (9, 'true')):
        options = [f'--trainer.max_steps={steps}', f'--resume={resume}']
        assert segment(dataset, out, *options, '--trainer.log_every_n_steps=1') == 0
        rates += [learning_rate(out)]
    assert rates == [0.0, 0.0]
    found = list(scalars(out, 'learning_rate').values())
    expected = [0.01 * (1 - step / 6) ** 0.9 for step in range(6)]
    # The first step after a resumption has the rate that the run had stopped at.
    expected += [0.0] + [0.01 * (1 - step / 9) ** 0.9 for step in range(7, 9)]
    assert found == pytest.approx(expected, rel=1e-5)


def learning_rate(out: Path) -> float:
    content = torch.load(out / 'checkpoints' / 'last.ckpt', weights_only=True)
    return content['optimizer_states'][0]['param_groups'][0]['lr']


def events(out: Path) -> EventAccumulator:
    found = EventAccumulator(str(out / 'tensorboard'), size_guidance={'images': 0, 'scalars': 0})
    return found.Reload()


def scalars(out: Path, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in events(out).Scalars(tag)}


def test_tensorboard_shows_predictions_and_iou_per_class(dataset, tmp_path):
    out = tmp_path / 'run'
    assert segment(dataset, out, '--trainer.max_steps=6', '--trainer.log_every_n_steps=1') == 0
    found = events(out)
    pictures = found.Images('image, labels, prediction')
    assert [p.step for p in pictures] == [3, 6]
    assert (pictures[0].width, pictures[0].height) == (3 * 64, 3 * 32)
    classes = {t.removeprefix('validation/iou/') for t in found.Tags()['scalars'] if '/iou/' in t}
    assert classes == {'road', 'sidewalk', 'building'}
    per_class = [scalars(out, f'validation/iou/{name}') for name in classes]
    for step, miou in scalars(out, 'miou').items():
        assert miou == pytest.approx(sum(iou[step] for iou in per_class) / 3, abs=1e-6)


def test_best_weights_are_kept_also_over_a_resumption(dataset, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'run'
    scores = iter([0.5, 0.9, 0.2, 0.3])  # one per epoch of three steps
    copies = []
    where = 'training.objective.segmentation_module'
    monkeypatch.setattr(
        f'{where}.segmentation_score', lambda counts: SegmentationScore((), next(scores), 0.0)
    )
    monkeypatch.setattr(
        f'{where}._copied',
        lambda network: (
            copies.append({k: v.clone() for k, v in network.state_dict().items()}) or copies[-1]
        ),
    )
    for steps, resume in ((9, 'false'), (12, 'true')):
        assert segment(dataset, out, f'--trainer.max_steps={steps}', f'--resume={resume}') == 0
        assert 'mIoU 0.900' in capsys.readouterr().out
        assert len(copies) == 2
        kept = load_segmentation_checkpoint(out / 'segmentation.ckpt').state_dict()
        assert all(torch.equal(kept[k], v) for k, v in copies[1].items())
    last = torch.load(out / 'checkpoints' / 'last.ckpt', weights_only=True)['state_dict']
    assert not torch.equal(last['network.head.weight'], kept['head.weight'])


def test_large_pictures_are_shrunk():
    image = torch.zeros(4, 3, 128, 1280, dtype=torch.uint8)
    labels = torch.zeros(4, 128, 1280, dtype=torch.uint8)
    panel = prediction_panel(SegmentationSample(image, labels), labels.long())
    assert panel.shape == (3 * 64, 3 * 640, 3)


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
    save_every(monkeypatch, 3)
    # Three steps per epoch; validation is rarer than checkpoints.
    options = ['--trainer.max_steps=9', '--trainer.check_val_every_n_epoch=2']
    progress = 'training.running.run_folder.TrainingProgress'
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
        (['--model.encoder_weights=/nowhere.pth'], '/nowhere.pth: cannot be read'),
        (['--data.images=/nowhere', '--data.labels=/nowhere'], 'either --data.root'),
        (['--data.height=50', '--data.width=64'], 'images of 64x50'),
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
    if path.stem in ('segment', 'segment_cityscapes'):
        small.append('--trainer.max_epochs=1')
    if path.stem == 'segment_cityscapes':
        small += ['--data.height=32', '--data.width=64']
    options = [f'--data.root={dataset}', f'--out={tmp_path / "run"}', *SMALL, *small]
    assert main(['segment', f'--config={path}', *options]) == 0
