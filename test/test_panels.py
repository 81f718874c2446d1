"""Pictures of a training: drawn when asked, of what is trained on, and without disturbing it."""

import math

import cv2
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_run import options
from training_run import write_noise_dataset
from training_run import write_segmentation

from training import train
from training.data.augmentation import flip_where
from training.data.augmentation import jitter_color
from training.data.datamodule import DepthData
from training.networks.depth import DepthNetworkConfig
from training.networks.pac_strips import pair_kernels
from training.objective.depth_module import DepthModule
from training.objective.objective import objective
from training.running.maps import mean_to_neighbours
from training.running.maps import triplet_maps
from training.running.pictures import triplet_panel

NARROW_NETWORK = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance_channels=16
)


@pytest.fixture
def segmentation(tmp_path):
    return write_segmentation(tmp_path / 'segmentation.ckpt')


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


@pytest.fixture
def batch(dataset):
    return next(iter(DepthData(str(dataset), batch_size=2, seed=3).train_dataloader()))


def run_with_panels(dataset, segmentation, out, every):
    steps = ['--trainer.max_steps=4', '--data.batch_size=3', f'--panels={every}']
    train.main(options(dataset, segmentation, out, *steps))
    return torch.load(out / 'checkpoints/last.ckpt', weights_only=True)


def test_panels_leave_training_as_it_is_to_the_bit(dataset, segmentation, tmp_path):
    without = run_with_panels(dataset, segmentation, tmp_path / 'without', 0)
    with_panels = run_with_panels(dataset, segmentation, tmp_path / 'with', 1)
    assert not (tmp_path / 'without/panels').exists()
    assert len(list((tmp_path / 'with/panels').iterdir())) == 5
    assert without['state_dict'].keys() == with_panels['state_dict'].keys()
    for key, value in without['state_dict'].items():
        assert torch.equal(value, with_panels['state_dict'][key]), key
    moments = [c['optimizer_states'][0]['state'] for c in (without, with_panels)]
    for number, state in moments[0].items():
        assert torch.equal(state['exp_avg_sq'], moments[1][number]['exp_avg_sq'])


def test_panels_are_drawn_at_the_start_now_and_then_and_at_the_end(
    dataset, segmentation, tmp_path
):
    out = tmp_path / 'run'
    run_with_panels(dataset, segmentation, out, 3)
    drawn = sorted(p.name for p in (out / 'panels').iterdir())
    assert drawn == ['step_000000.png', 'step_000003.png', 'step_000004.png']
    picture = cv2.imread(str(out / 'panels/step_000004.png'))
    events = EventAccumulator(str(out / 'tensorboard'), {'images': 0}).Reload()
    logged = events.Images('panel')
    assert [event.step for event in logged] == [0, 3, 4]
    assert (logged[0].height, logged[0].width) == picture.shape[:2]


def test_the_maps_are_those_of_the_objective(segmentation, batch):
    module = DepthModule(str(segmentation), NARROW_NETWORK).eval()
    maps = triplet_maps(module, batch)
    clean = batch.images.permute(0, 1, 4, 2, 3).float() / 255
    seen, flip = jitter_color(clean, batch.augmentation), batch.augmentation.flip
    with torch.no_grad():
        finest = module.network.inverse_depth(flip_where(seen[:, 0], flip))[0]
        motion = module.pose(seen[:, 0], seen[:, 1:])
        first = objective(
            (flip_where(finest, flip)[:1],),
            type(motion)(*(part[:1] for part in motion)),
            clean[:1, 0],
            clean[:1, 1:],
            batch.intrinsics[:1],
            batch.displacement_m[:1],
            module.objective_config,
        )
    assert maps.error.mean() == pytest.approx(first.photometric.item(), rel=1e-4)
    assert 1 - maps.counts.mean() == pytest.approx(first.masked_share.item(), abs=1e-3)
    assert maps.depth_m.shape == maps.labels.shape == (64, 128)
    assert (maps.image == batch.images[0, 0].numpy()).all()


def test_networks_are_left_in_their_modes_and_without_hooks(segmentation, batch):
    module = DepthModule(str(segmentation), NARROW_NETWORK)
    module.pose.eval()  # as somebody may have wanted it
    modes = [part.training for part in module.modules()]
    buffers = [buffer.clone() for buffer in module.buffers()]
    triplet_maps(module, batch)
    assert [part.training for part in module.modules()] == modes
    assert not any(part._forward_pre_hooks for part in module.modules())
    for before, after in zip(buffers, module.buffers()):
        assert torch.equal(before, after)


def test_what_guides_is_drawn_level_by_level_the_right_way_round(segmentation, batch):
    module = DepthModule(str(segmentation), NARROW_NETWORK).eval()
    flip = torch.tensor([True, False])
    plain = batch.augmentation._replace(
        **{name: torch.ones(2) for name in ('brightness', 'contrast', 'saturation')},
        hue=torch.zeros(2),
    )
    upright = batch._replace(augmentation=plain._replace(flip=~flip))
    mirrored_images = batch.images.flip(3)
    mirrored = batch._replace(augmentation=plain._replace(flip=flip), images=mirrored_images)
    kernels = triplet_maps(module, upright).guidance
    assert [level.stride for level in kernels] == [16, 8, 4, 2]
    for one, other in zip(kernels, triplet_maps(module, mirrored).guidance):
        assert one.kernels.shape == (64 // one.stride, 128 // one.stride)
        assert abs(one.kernels - other.kernels[:, ::-1]).max() < 1e-4


def test_mean_kernels_count_the_neighbours_inside_the_image():
    torch.manual_seed(0)
    f = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    log_sigma = torch.tensor(0.3, dtype=torch.float64)
    found = mean_to_neighbours(pair_kernels(f, log_sigma))
    for y, x in ((0, 0), (0, 3), (2, 2), (3, 5), (1, 0)):
        places = [(v, u) for v in range(y - 1, y + 2) for u in range(x - 1, x + 2)]
        inside = [p for p in places if p != (y, x) and 0 <= p[0] < 4 and 0 <= p[1] < 6]
        distances = torch.stack([(f[..., y, x] - f[..., v, u]).square().sum(1) for v, u in inside])
        expected = torch.exp(-0.5 * distances / math.exp(0.6)).mean(0)
        torch.testing.assert_close(found[:, y, x], expected)


def test_a_network_without_labels_and_guidance_is_drawn_too(batch):
    unguided = DepthNetworkConfig(
        encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance='none'
    )
    maps = triplet_maps(DepthModule(None, unguided), batch)
    assert maps.labels is None
    assert maps.guidance == ()
    panel = triplet_panel(maps, 'road 1', metric=False)
    assert panel.ndim == 3
    darker = maps._replace(error=maps.error * 0)
    assert (triplet_panel(darker, 'road 1', metric=False) != panel).any()
