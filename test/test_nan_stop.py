"""A training whose loss or weights are no numbers: it stops, says why, and spoils nothing."""

import json
from dataclasses import replace

import cv2
import pytest
import torch
from labelled_drives import write_labelled_drive
from training_run import options
from training_run import save_every
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.errors import UserError
from training import segment
from training import train
from training.checkpoint import load_depth_checkpoint
from training.data.drive import read_drive
from training.data.drive import write_drive
from training.networks.depth import DepthNetworkConfig
from training.objective.depth_module import DepthModule
from training.objective.finite import NotFiniteError
from training.objective.finite import clip_gradient
from training.objective.finite import loss_for_all_to_stop
from training.running.nan_stop import load_triplets

NARROW_NETWORK = DepthNetworkConfig(
    encoder_width=8, decoder_channels=(8, 8, 8, 8, 8), guidance_channels=16
)
EXPLODING = ['--model.optimizer.lr=1e30', '--trainer.max_steps=8']


@pytest.fixture
def segmentation(tmp_path):
    return write_segmentation(tmp_path / 'segmentation.ckpt')


@pytest.fixture
def dataset(tmp_path):
    return write_noise_dataset(tmp_path / 'dataset')


def give_a_frame_an_absurd_speed(dataset, index):
    """Damage drive.json: a speed that a double holds and a float does not."""
    drive = read_drive(dataset / 'road')
    frames = [replace(f, speed_m_s=1e41) if f.index == index else f for f in drive.frames]
    write_drive(replace(drive, frames=tuple(frames)), dataset / 'road')


def finite(checkpoint):
    weights = torch.load(checkpoint, weights_only=True)['state_dict'].values()
    return all(w.isfinite().all() for w in weights if w.is_floating_point())


def step(module, batch):
    module.zero_grad()
    module.terms(batch).loss.backward()
    clip_gradient(torch.optim.Adam(p for p in module.parameters() if p.requires_grad), 1.0)


def test_a_damaged_sample_stops_training_and_is_named(dataset, segmentation, tmp_path):
    give_a_frame_an_absurd_speed(dataset, 3)
    out = tmp_path / 'run'
    with pytest.raises(UserError, match='depth or motion is not finite') as stopped:
        train.main(options(dataset, segmentation, out, '--data.batch_size=6'))
    message = str(stopped.value)
    assert '\n' not in message
    assert 'displacement_m of road 000003' in message
    saved = out / 'nan/step_000000.pt'
    assert str(saved) in message
    known = json.loads(saved.with_suffix('.json').read_text())
    assert sorted(known['samples']) == [f'road {i:06d}' for i in range(1, 7)]
    assert len(known['not_finite_in_the_batch']) < 6
    assert cv2.imread(str(saved.with_suffix('.png'))) is not None
    assert not (out / 'depth.ckpt').exists()
    assert not (out / 'checkpoints').exists()


def test_the_saved_batch_and_weights_fail_again(dataset, segmentation, tmp_path):
    give_a_frame_an_absurd_speed(dataset, 3)
    out = tmp_path / 'run'
    with pytest.raises(UserError, match='training stopped in step'):
        train.main(options(dataset, segmentation, out, '--data.batch_size=6'))
    batch = load_triplets(out / 'nan/step_000000.pt')
    assert batch.images.shape == (6, 3, 64, 128, 3)
    checkpoint = out / 'nan/step_000000.ckpt'
    assert load_depth_checkpoint(checkpoint).pose is not None
    module = DepthModule(str(segmentation), NARROW_NETWORK)
    module.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    with pytest.raises(NotFiniteError):
        step(module, batch)
    mended = batch._replace(displacement_m=torch.ones_like(batch.displacement_m))
    step(module, mended)


def test_a_gradient_that_is_no_number_is_told_with_the_terms_and_all_batches_of_the_step(
    dataset, segmentation, tmp_path, monkeypatch
):
    def spoil(module):
        module.pose.features[0].weight.grad[0] = torch.nan

    monkeypatch.setattr(DepthModule, 'on_after_backward', spoil)
    out = tmp_path / 'run'
    accumulate = ['--data.batch_size=3', '--trainer.accumulate_grad_batches=2']
    with pytest.raises(UserError, match='the norm of the gradient is nan; terms: loss 0'):
        train.main(options(dataset, segmentation, out, *accumulate))
    saved = out / 'nan/step_000000.pt'
    assert sorted(load_triplets(saved).sample.tolist()) == list(range(6))
    known = json.loads(saved.with_suffix('.json').read_text())
    assert {'loss', 'train/photometric', 'train/smoothness'} <= set(known['terms'])
    assert known['not_finite_gradients'] == ['pose.features.0.weight']
    assert finite(saved.with_suffix('.ckpt'))


def test_a_learning_rate_that_explodes_stops_before_a_checkpoint_is_spoilt(
    dataset, segmentation, tmp_path, monkeypatch
):
    save_every(monkeypatch, 1)
    out = tmp_path / 'run'
    with pytest.raises(UserError, match=r'try a learning rate below 1e\+30'):
        train.main(options(dataset, segmentation, out, *EXPLODING))
    assert finite(out / 'checkpoints/last.ckpt')


def test_weights_that_are_no_numbers_replace_no_checkpoint(
    dataset, segmentation, tmp_path, monkeypatch
):
    def spoil(module, *_):
        if module.global_step == 2:
            module.pose.features[0].weight.data.fill_(torch.inf)

    save_every(monkeypatch, 1)
    monkeypatch.setattr(DepthModule, 'on_train_batch_end', spoil)
    out = tmp_path / 'run'
    with pytest.raises(UserError, match='training stopped in step'):
        train.main(options(dataset, segmentation, out, '--trainer.max_steps=4'))
    assert finite(out / 'checkpoints/last.ckpt')
    assert torch.load(out / 'checkpoints/last.ckpt', weights_only=True)['global_step'] == 2


def test_weights_spoilt_by_the_last_step_are_no_result(
    dataset, segmentation, tmp_path, monkeypatch
):
    def spoil(module, *_):
        module.pose.features[0].weight.data.fill_(torch.inf)

    monkeypatch.setattr(DepthModule, 'on_train_batch_end', spoil)
    out = tmp_path / 'run'
    with pytest.raises(UserError, match=r'the weight pose\.\S+ is not finite'):
        train.main(options(dataset, segmentation, out, '--trainer.max_steps=1'))
    assert not (out / 'depth.ckpt').exists()


def test_the_semantic_network_stops_too(tmp_path):
    write_labelled_drive(tmp_path / 'dataset' / 'drive', 16)
    out = tmp_path / 'run'
    narrow = ['--model.network.width=8', '--model.network.pyramid_channels=16']
    run = ['--trainer.accelerator=cpu', '--trainer.max_steps=8', '--model.learning_rate=1e30']
    with pytest.raises(UserError, match='step 1: the loss is nan'):
        segment.main([f'--data.root={tmp_path / "dataset"}', f'--out={out}', *narrow, *run])
    saved = next((out / 'nan').glob('*.pt'))
    assert torch.load(saved, weights_only=True)['image'].dtype == torch.uint8
    assert not (out / 'segmentation.ckpt').exists()


def test_a_gradient_that_is_no_number_is_left_as_it_is():
    good, bad = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([good, bad])
    good.grad, bad.grad = torch.full((2,), 30.0), torch.tensor([40.0, 40.0])
    assert clip_gradient(optimizer, 1.0) == pytest.approx(50 * 2**0.5)
    assert good.grad.norm() ** 2 + bad.grad.norm() ** 2 == pytest.approx(1.0, rel=1e-4)
    bad.grad[1] = torch.inf
    with pytest.raises(NotFiniteError, match='inf'):
        clip_gradient(optimizer, 1.0)
    assert good.grad.isfinite().all()
    assert bad.grad.isinf().tolist() == [False, True]


def test_a_process_that_fails_spoils_the_gradient_of_every_weight_for_the_others():
    module = DepthModule(None, replace(NARROW_NETWORK, guidance='none'))
    loss_for_all_to_stop(module).backward()
    assert all(p.grad.isnan().all() for p in module.parameters() if p.requires_grad)


def test_a_loss_that_is_no_number_stops_even_with_a_gradient_that_is_one(
    dataset, segmentation, tmp_path, monkeypatch
):
    step = DepthModule.training_step
    monkeypatch.setattr(
        DepthModule, 'training_step', lambda *a: step(*a) + torch.tensor(torch.inf)
    )
    out = tmp_path / 'run'
    with pytest.raises(UserError, match='step 0: the loss is inf'):
        train.main(options(dataset, segmentation, out))


@pytest.mark.parametrize('precision', ['16-mixed', '16-true', 'bf16-true', '64-true'])
def test_precisions_that_losses_do_not_survive_are_refused(
    dataset, segmentation, tmp_path, precision
):
    out = tmp_path / 'run'
    with pytest.raises(UserError, match=f'precision {precision}: train with 32-true'):
        train.main(options(dataset, segmentation, out, f'--trainer.precision={precision}'))
    assert not out.exists()
