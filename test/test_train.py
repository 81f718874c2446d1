"""Training depth: what is trained on, the checkpoint it leaves, and mistakes in its options."""

import math

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_dataset import write_dataset
from training_run import kill_training_at
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from training import train
from training.checkpoint import load_depth_checkpoint
from training.data.augmentation import AugmentationConfig
from training.data.datamodule import DepthData
from training.data.drive import Drive
from training.data.drive import Frame
from training.data.drive import frame_path
from training.data.drive import read_drive
from training.data.drive import write_drive
from training.data.drive import write_split
from training.data.triplets import list_targets
from training.data.triplets import list_triplets
from training.networks.depth import DepthNetworkConfig
from training.objective import depth_module
from training.objective.depth_module import DepthModule
from training.objective.objective import objective
from training.torch_engine import open_model

NARROW_NETWORK = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance_channels=16
)
NO_AUGMENTATION = AugmentationConfig(jitter_probability=0.0, flip_probability=0.0)


@pytest.fixture
def segmentation(tmp_path):
    return write_segmentation(tmp_path / 'segmentation.ckpt')


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


def drive_with(frames, camera):
    return Drive('d', 'test', camera, camera, tuple(frames))


def moving(speeds_m_s):
    return [Frame(i, i * 100_000_000, speed) for i, speed in enumerate(speeds_m_s)]


def test_context_frames_are_the_nearest_that_the_camera_moved_to(dataset):
    camera = read_drive(dataset / 'road').intrinsics
    drive = drive_with(moving([1.0] * 10), camera)  # 0.1 m per frame
    triplet = list_triplets(drive, min_displacement_m=0.29)[0]
    assert triplet[:3] == (3, 0, 6)
    assert triplet.displacement_m == pytest.approx((0.3, 0.3))


def test_frames_without_motion_or_dropped_are_no_targets(dataset):
    camera = read_drive(dataset / 'road').intrinsics
    assert list_targets(drive_with(moving([0.0] * 8), camera)) == ()
    frames = moving([10.0] * 5)
    frames[2] = Frame(2, frames[2].stamp_ns, 10.0, dropped='static')
    assert list_targets(drive_with(frames, camera)) == (1, 3)


def test_unknown_motion_takes_the_neighbours_and_says_so(dataset):
    camera = read_drive(dataset / 'road').intrinsics
    triplet = list_triplets(drive_with(moving([None] * 3), camera))[0]
    assert triplet[:3] == (1, 0, 2)
    assert all(math.isnan(d) for d in triplet.displacement_m)


def test_a_batch_holds_the_frames_the_camera_and_the_displacements(dataset):
    data = DepthData(str(dataset), batch_size=2)
    batch = next(iter(data.train_dataloader()))
    drive = read_drive(dataset / 'road')
    height, width = drive.intrinsics.height, drive.intrinsics.width
    assert batch.images.shape == (2, 3, height, width, 3)
    assert batch.images.dtype == torch.uint8
    np.testing.assert_allclose(batch.intrinsics[0], drive.intrinsics.matrix(), rtol=1e-6)
    assert batch.displacement_m.shape == (2, 2)


def test_a_split_chooses_the_targets(dataset, tmp_path):
    split = tmp_path / 'split.txt'
    write_split([FrameKey('road', 3)], split)
    assert len(DepthData(str(dataset), str(split)).dataset) == 1
    write_split([FrameKey('elsewhere', 3)], split)
    with pytest.raises(UserError, match='elsewhere'):
        DepthData(str(dataset), str(split))


def test_training_leaves_a_checkpoint_that_runs_and_knows_its_origin(
    dataset, segmentation, tmp_path, capsys
):
    out = tmp_path / 'run'
    train.main(options(dataset, segmentation, out))
    assert str(out / 'depth.ckpt') in capsys.readouterr().out
    loaded = load_depth_checkpoint(out / 'depth.ckpt')
    drive = read_drive(dataset / 'road')
    assert loaded.provenance.intrinsics == drive.intrinsics
    assert loaded.provenance.scale_source == drive.scale_source
    assert loaded.provenance.stage == 1
    assert len(loaded.provenance.dataset_sha256) == 64
    engine = open_model(out / 'depth.ckpt')
    image = np.zeros((drive.intrinsics.height, drive.intrinsics.width, 3), np.uint8)
    prediction = engine.infer(image)
    assert prediction.depth_m.shape == image.shape[:2]
    assert (prediction.depth_m > 0).all()
    assert (out / 'config.yaml').exists()


@pytest.mark.parametrize(
    ('architecture', 'width', 'pose'),
    [('resnet50', 8, 'resnet18'), ('packnet01', 32, 'posenet'), ('packnet01_slim', 16, 'posenet')],
)
def test_every_architecture_trains(dataset, segmentation, tmp_path, architecture, width, pose):
    out = tmp_path / 'run'
    networks = [
        f'--model.network.architecture={architecture}',
        f'--model.network.encoder_width={width}',
        f'--model.pose.architecture={pose}',
    ]
    train.main(options(dataset, segmentation, out, *networks, '--trainer.max_steps=1'))
    loaded = load_depth_checkpoint(out / 'depth.ckpt')
    assert loaded.config.architecture == architecture
    assert loaded.pose_config.architecture == pose
    for name, parameter in loaded.network.depth.named_parameters():
        assert parameter.isfinite().all(), name


def test_the_mean_kernel_of_every_guided_level_is_logged(dataset, segmentation, tmp_path):
    out = tmp_path / 'run'
    train.main(options(dataset, segmentation, out, '--trainer.log_every_n_steps=1'))
    events = EventAccumulator(str(out / 'tensorboard')).Reload()
    for stride in (16, 8, 4, 2):
        values = [event.value for event in events.Scalars(f'pac/mean_kernel_stride_{stride}')]
        assert len(values) == 2
        assert all(0.1 < value < 1 for value in values)


def test_training_changes_depth_but_not_the_semantic_network(dataset, segmentation, tmp_path):
    out = tmp_path / 'run'
    train.main(options(dataset, segmentation, out))
    before = torch.load(segmentation, weights_only=True)['state_dict']
    after = load_depth_checkpoint(out / 'depth.ckpt').network.segmentation.state_dict()
    for key, value in before.items():
        torch.testing.assert_close(after[key.removeprefix('network.')], value)


def test_stage_two_can_start_from_stage_one(dataset, segmentation, tmp_path):
    train.main(options(dataset, segmentation, tmp_path / 'one'))
    start = ['--model.initial_weights', str(tmp_path / 'one/depth.ckpt'), '--model.stage', '2']
    train.main(
        options(dataset, segmentation, tmp_path / 'two', *start, '--model.optimizer.lr=1e-12')
    )
    one = load_depth_checkpoint(tmp_path / 'one/depth.ckpt').network.depth.state_dict()
    two = load_depth_checkpoint(tmp_path / 'two/depth.ckpt').network.depth.state_dict()
    heads = [key for key in one if key.startswith('decoder.heads')]
    assert heads
    for key in heads:
        torch.testing.assert_close(one[key], two[key])


def test_the_encoder_can_start_as_the_semantic_networks(dataset, segmentation, tmp_path):
    start = ['--model.initial_weights', str(segmentation), '--model.initial_parts', 'encoder']
    slow = ['--model.optimizer.lr=1e-12']
    train.main(options(dataset, segmentation, tmp_path / 'run', *start, *slow))
    network = load_depth_checkpoint(tmp_path / 'run/depth.ckpt').network
    theirs = network.segmentation.encoder.state_dict()
    ours = network.depth.encoder.state_dict()
    weights = [key for key in ours if key.endswith('weight')]
    assert len(weights) > 20
    for key in weights:
        torch.testing.assert_close(ours[key], theirs[key])
    with pytest.raises(UserError, match='holds no depth network'):
        train.main(options(dataset, segmentation, tmp_path / 'other', *start[:2]))


def test_a_finished_run_is_not_overwritten_but_an_unfinished_one_goes_on(
    dataset, segmentation, tmp_path
):
    out = tmp_path / 'run'
    train.main(options(dataset, segmentation, out))
    with pytest.raises(UserError, match='holds a run'):
        train.main(options(dataset, segmentation, out))
    more = ['--resume=true', '--trainer.max_steps=4']
    train.main(options(dataset, segmentation, out, *more))
    last = torch.load(out / 'checkpoints/last.ckpt', weights_only=True)
    assert last['global_step'] == 4


def test_a_run_that_died_goes_on_from_its_last_epoch(dataset, segmentation, tmp_path, monkeypatch):
    out = tmp_path / 'run'
    kill_training_at(monkeypatch, 2)
    with pytest.raises(RuntimeError, match='killed'):
        train.main(options(dataset, segmentation, out, '--trainer.max_steps=4'))
    last = out / 'checkpoints/last.ckpt'
    assert torch.load(last, weights_only=True)['global_step'] == 2
    assert not (out / 'depth.ckpt').exists()
    monkeypatch.undo()
    train.main(options(dataset, segmentation, out, '--trainer.max_steps=4', '--resume=true'))
    assert torch.load(last, weights_only=True)['global_step'] == 4
    assert [p.name for p in last.parent.iterdir()] == ['last.ckpt']
    assert load_depth_checkpoint(out / 'depth.ckpt').provenance.stage == 1


def test_mixed_precision_leaves_geometry_and_losses_in_float32(dataset, segmentation, monkeypatch):
    torch.manual_seed(0)
    module = DepthModule(str(segmentation), NARROW_NETWORK).eval()
    batch = next(iter(DepthData(str(dataset), augmentation=NO_AUGMENTATION).train_dataloader()))
    seen = []

    def spy(inverse_depth, motion, *others):
        seen.append((torch.is_autocast_enabled('cpu'), inverse_depth[0].dtype))
        return objective(inverse_depth, motion, *others)

    monkeypatch.setattr(depth_module, 'objective', spy)
    exact = module.terms(batch).loss
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = module.terms(batch).loss
    assert seen == [(False, torch.float32), (False, torch.float32)]
    assert mixed.dtype == torch.float32
    assert mixed != exact  # the networks did run in half precision
    torch.testing.assert_close(mixed, exact, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (['--data.root', 'nowhere'], 'nowhere'),
        (['--model.segmentation', 'nowhere.ckpt'], 'nowhere.ckpt'),
        (['--model.network.guidance', 'magic'], 'guidance'),
        (['--model.no_such_option', '1'], 'no_such_option'),
        (['--config', 'nowhere.yaml'], 'nowhere.yaml'),
        (['--resume', 'true'], 'nothing to resume'),
        (['--trainer.strategy', 'ddp_spawn', '--trainer.devices', '2'], 'ddp_spawn.*take ddp'),
        (['--trainer.sync_batchnorm', 'true'], 'on GPUs only'),
    ],
)
def test_mistakes_are_named_and_leave_nothing(dataset, segmentation, tmp_path, change, says):
    out = tmp_path / 'run'
    with pytest.raises(UserError, match=says):
        train.main(options(dataset, segmentation, out, *change))
    assert not out.exists()


def test_a_drive_without_speed_is_refused_unless_scale_is_given_up(
    dataset, segmentation, tmp_path
):
    folder = dataset / 'road'
    drive = read_drive(folder)
    frames = [Frame(f.index, f.stamp_ns) for f in drive.frames]
    write_drive(drive_with(frames, drive.intrinsics), folder)
    with pytest.raises(UserError, match=r'scale none'):
        train.main(options(dataset, segmentation, tmp_path / 'run'))
    train.main(options(dataset, segmentation, tmp_path / 'run', '--model.objective.scale', 'none'))
    assert not load_depth_checkpoint(tmp_path / 'run/depth.ckpt').metric


def test_images_too_small_for_the_network_are_refused(segmentation, tmp_path):
    write_dataset(tmp_path / 'small', frames=8)
    with pytest.raises(UserError, match='64x32'):
        train.main(options(tmp_path / 'small', segmentation, tmp_path / 'run'))


def test_a_damaged_frame_stops_with_its_path(dataset, segmentation, tmp_path):
    path = frame_path(dataset / 'road', 3)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match='000003'):
        train.main(options(dataset, segmentation, tmp_path / 'run', '--trainer.max_epochs=1'))
    assert not (tmp_path / 'run').exists()


def test_other_files_are_no_depth_checkpoints(segmentation, tmp_path):
    with pytest.raises(UserError, match='no depth network'):
        load_depth_checkpoint(segmentation)
    (tmp_path / 'text.ckpt').write_text('hello')
    with pytest.raises(UserError, match='no checkpoint'):
        load_depth_checkpoint(tmp_path / 'text.ckpt')
    with pytest.raises(UserError, match='cannot be read'):
        load_depth_checkpoint(tmp_path / 'missing.ckpt')
