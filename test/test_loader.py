"""Loading triplets: what is on disk, whoever reads it; damaged frames stop or are told."""

import pickle
from types import SimpleNamespace

import cv2
import lightning
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from training import train
from training.data import datamodule
from training.data import jpeg
from training.data.augmentation import draw_augmentations
from training.data.datamodule import DepthData
from training.data.drive import frame_path
from training.data.drive import write_frame
from training.data.keyed_sampler import SampleKey
from training.data.triplet_dataset import TripletBatch
from training.running.resume import ResumeCheckpoint

DAMAGED = 3  # the frame; a neighbour or the target of three of the six samples
NEEDED_BY = (1, 2, 3)
STAND_IN = 4


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


@pytest.fixture(params=['simplejpeg', 'opencv'])
def decoder(request, monkeypatch):
    if request.param == 'opencv':
        monkeypatch.setattr(jpeg, 'simplejpeg', None)
    else:
        pytest.importorskip('simplejpeg')


def damaged_frame(dataset):
    return frame_path(dataset / 'road', DAMAGED)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def zero_end(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def shrink(path):
    write_frame(np.zeros((32, 64, 3), np.uint8), path)


def enlarge(path):
    write_frame(np.zeros((128, 128, 3), np.uint8), path)


def reshape(path):
    write_frame(np.zeros((128, 64, 3), np.uint8), path)


DAMAGES = [
    cut,
    zero_end,
    shrink,
    enlarge,
    reshape,
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b''),
    lambda path: path.write_text('no image'),
]


def flat(batch: TripletBatch) -> list[torch.Tensor]:
    return [*batch[:3], *batch.augmentation, *batch[4:]]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for a, b in zip(first, second):
        for x, y in zip(flat(a), flat(b)):
            assert x.dtype == y.dtype
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)


def batches(dataset, epoch=0, **given):
    """Return the batches of an epoch."""
    loader = DepthData(str(dataset), **{'batch_size': 2, 'workers': 0, **given}).train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_images_are_what_is_on_disk(dataset, decoder):
    (batch,) = batches(dataset, batch_size=6)
    assert batch.images.dtype == torch.uint8
    for images, sample in zip(batch.images, batch.sample):
        target = int(sample) + 1
        for image, frame in zip(images, (target, target - 1, target + 1)):
            stored = cv2.imread(str(frame_path(dataset / 'road', frame)))
            np.testing.assert_array_equal(image, stored[..., ::-1])
    assert not batch.replaced.any()
    assert sorted(batch.sample.tolist()) == list(range(6))


def test_frames_of_another_format_are_read_too(dataset):
    path = damaged_frame(dataset)
    image = cv2.imread(str(path))
    path.write_bytes(cv2.imencode('.png', image)[1].tobytes())
    (batch,) = batches(dataset, batch_size=6)
    row = batch.sample.tolist().index(DAMAGED - 1)
    np.testing.assert_array_equal(batch.images[row, 0], image[..., ::-1])


def test_a_draw_of_a_batch_is_the_draw_of_its_samples(dataset):
    data = DepthData(str(dataset), batch_size=3, workers=0, seed=5)
    batch = next(iter(data.train_dataloader()))
    for row, sample in enumerate(batch.sample.tolist()):
        key = SampleKey(sample, 0)
        expected = draw_augmentations(data.dataset.augmentation, 5, [key])
        assert [column[row] for column in batch.augmentation] == [c[0] for c in expected]
        one = data.dataset[key]
        for x, y in zip(flat(one), flat(batch)):
            torch.testing.assert_close(x, y[row], rtol=0, atol=0)


@pytest.mark.parametrize('workers', [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(dataset, workers):
    assert_same(batches(dataset, workers=workers), batches(dataset))


def as_process(data, rank=0, of=1, device='cpu'):
    """Return the loader of one of the processes that train together."""
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=of, num_devices=of, strategy=strategy
    )
    return data.train_dataloader()


def test_gpus_are_fed_by_processes_and_from_pinned_memory(dataset, monkeypatch, capsys):
    monkeypatch.setattr(datamodule, 'usable_cores', lambda: 12)
    on_gpu = as_process(DepthData(str(dataset)), device='cuda')
    assert on_gpu.num_workers == 8
    assert on_gpu.pin_memory
    assert '8 loader processes' in capsys.readouterr().out
    assert as_process(DepthData(str(dataset)), of=3, device='cuda').num_workers == 4
    assert as_process(DepthData(str(dataset), workers=1), device='cuda').num_workers == 1
    on_cpu = as_process(DepthData(str(dataset)))
    assert on_cpu.num_workers == 0
    assert not on_cpu.pin_memory


def test_the_batches_of_two_processes_are_those_of_one_in_turns(dataset):
    (whole,) = batches(dataset, batch_size=6)
    for rank in range(2):
        (share,) = as_process(DepthData(str(dataset), batch_size=3), rank, of=2)
        for x, y in zip(flat(share), flat(whole)):
            torch.testing.assert_close(x, y[rank::2], rtol=0, atol=0)


def test_epochs_and_seeds_differ_in_order_and_draws(dataset):
    first = batches(dataset, batch_size=6)[0]
    for other in (batches(dataset, 1, batch_size=6)[0], batches(dataset, batch_size=6, seed=1)[0]):
        assert first.sample.tolist() != other.sample.tolist()
        # The same samples, drawn anew.
        flips = [b.augmentation.flip[b.sample.argsort()].tolist() for b in (first, other)]
        brightness = [b.augmentation.brightness[b.sample.argsort()] for b in (first, other)]
        assert flips[0] != flips[1] or not torch.equal(*brightness)
    assert_same(batches(dataset, 1, seed=1), batches(dataset, 1, seed=1))


def test_a_loader_process_gets_arrays_only(dataset):
    data = DepthData(str(dataset)).dataset
    copy = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert b'Frame' not in pickle.dumps(data)
    keys = [SampleKey(i, 0) for i in range(len(data))]
    assert_same([copy.__getitems__(keys)], [data.__getitems__(keys)])
    assert data.drives


class Recorder(lightning.LightningModule):
    """Trains nothing and remembers what it was given."""

    def __init__(self, save_in_epoch: int | None = None, after_batch: int = 0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, TripletBatch]] = []
        self.save_at = (save_in_epoch, after_batch)

    def training_step(self, batch, batch_index):
        self.seen.append((self.current_epoch, batch))
        return self.weight**2

    def on_train_batch_end(self, outputs, batch, batch_index):
        if (self.current_epoch, batch_index) == self.save_at:
            self.trainer.should_stop = True

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def run(module, data, path, resume=False):
    """Train for five epochs, or until the module wants to be saved."""

    class SaveLast(ResumeCheckpoint):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if (trainer.current_epoch, batch_idx) == module.save_at:
                self.save(trainer)

    trainer = lightning.Trainer(
        max_epochs=5,
        accelerator='cpu',
        logger=False,
        callbacks=[SaveLast(path, data)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, data, ckpt_path=str(path) if resume else None, weights_only=True)
    return module.seen


def test_a_run_with_loader_processes_goes_on_inside_a_later_epoch(dataset, tmp_path):
    path = tmp_path / 'last.ckpt'
    whole = run(Recorder(), DepthData(str(dataset), batch_size=2, workers=0), path)
    assert len(whole) == 15
    first = run(Recorder(3, 1), DepthData(str(dataset), batch_size=2, workers=2), path)
    first = first[: 3 * 3 + 2]
    rest = run(Recorder(), DepthData(str(dataset), batch_size=2, workers=2), path, resume=True)
    assert [epoch for epoch, _ in rest] == [3, 4, 4, 4]
    assert [e for e, _ in first + rest] == [e for e, _ in whole]
    assert_same([b for _, b in first + rest], [b for _, b in whole])


@pytest.mark.parametrize('damage', DAMAGES)
def test_every_damage_is_seen(dataset, decoder, damage):
    damage(damaged_frame(dataset))
    with pytest.raises(UserError, match=r'000003\.jpg: '):
        batches(dataset)


def test_damage_in_the_middle_of_a_frame_is_seen(dataset):
    pytest.importorskip('simplejpeg')
    path = damaged_frame(dataset)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = b'\xff\xd0' * 32
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'000003\.jpg: damaged JPEG'):
        batches(dataset)


@pytest.mark.parametrize('workers', [0, 1])
def test_a_damaged_frame_stops_training_in_one_line(dataset, tmp_path, workers):
    cut(damaged_frame(dataset))
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')
    more = ['--trainer.max_epochs=1', f'--data.workers={workers}']
    with pytest.raises(UserError) as error:
        train.main(options(dataset, segmentation, tmp_path / 'run', *more))
    assert str(error.value).startswith(str(damaged_frame(dataset)))
    assert '--data.damaged skip' in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('damage', [cut, shrink])
def test_the_next_readable_sample_stands_in(dataset, damage, workers):
    sound = batches(dataset, batch_size=6)[0]
    damage(damaged_frame(dataset))
    found = batches(dataset, batch_size=6, damaged='skip', workers=workers)[0]
    torch.testing.assert_close(found.augmentation, sound.augmentation)
    stand_in = sound.images[sound.sample == STAND_IN][0]
    for row, sample in enumerate(sound.sample.tolist()):
        replaced = sample in NEEDED_BY
        assert found.replaced[row] == replaced
        assert found.sample[row] == (STAND_IN if replaced else sample)
        assert torch.equal(found.images[row], stand_in if replaced else sound.images[row])


def test_the_first_sample_stands_in_for_the_last(dataset):
    frame_path(dataset / 'road', 7).unlink()
    found = batches(dataset, batch_size=6, damaged='skip')[0]
    assert sorted(found.sample.tolist()) == [0, 0, 1, 2, 3, 4]


def test_without_any_readable_sample_skipping_stops(dataset):
    for frame in range(8):
        frame_path(dataset / 'road', frame).unlink()
    with pytest.raises(UserError, match='6 samples in a row cannot be read'):
        batches(dataset, damaged='skip')


@pytest.mark.parametrize('workers', [0, 2])
def test_training_without_damaged_frames_tells_each_once_and_the_total(
    dataset, tmp_path, capsys, workers
):
    cut(damaged_frame(dataset))
    frame_path(dataset / 'road', 0).unlink()
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')
    out = tmp_path / 'run'
    more = ['--trainer.max_steps=6', '--data.batch_size=2', '--data.damaged=skip']
    train.main(options(dataset, segmentation, out, *more, f'--data.workers={workers}'))
    said = capsys.readouterr().err
    for frame in (0, DAMAGED):
        assert said.count(f'{frame_path(dataset / "road", frame)}: ') == 1
    # Two epochs, in each of which four samples need one of the two frames.
    assert '8 of 12 samples were replaced' in said
    assert '2 frames cannot be read' in said
    events = EventAccumulator(str(out / 'tensorboard')).Reload()
    assert [event.value for event in events.Scalars('data/replaced')][-1] == 8


def test_sound_frames_are_not_spoken_of(dataset, tmp_path, capsys):
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')
    more = ['--trainer.max_steps=1', '--data.damaged=skip']
    train.main(options(dataset, segmentation, tmp_path / 'run', *more))
    assert 'replaced' not in capsys.readouterr().err


def test_more_loader_processes_than_shared_memory_holds_are_refused(dataset):
    data = DepthData(str(dataset), batch_size=100_000, workers=64)
    with pytest.raises(UserError, match='workers lower'):
        data.train_dataloader()


@pytest.mark.parametrize('wrong', [{'batch_size': 0}, {'workers': -1}])
def test_numbers_that_load_nothing_are_refused(dataset, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        DepthData(str(dataset), **wrong)
