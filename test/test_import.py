"""Weights of other projects become checkpoints: every tensor lands where it must be."""

import json
import re

import pytest
import torch
from importing import CAMERA
from importing import LEVELS
from importing import imported
from original_weights import below
from original_weights import packnet
from original_weights import pose_decoder
from original_weights import posenet
from original_weights import resnet18
from original_weights import unet_decoder
from original_weights import write_packnet_sfm
from training_run import write_noise_dataset
from training_run import write_segmentation

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.engines import open_engine
from sg_depth_ros.errors import UserError
from training import evaluate
from training import export
from training import import_weights
from training import train
from training.checkpoint import load_depth_checkpoint
from training.networks.pose import PoseNetworkConfig


def all_tensors_of(*modules: torch.nn.Module) -> list[float]:
    return sorted(float(v.double().sum()) for m in modules for v in m.state_dict().values())


def all_tensors_in(*weights: dict[str, torch.Tensor]) -> list[float]:
    return sorted(
        float(v.double().sum()) for w in weights for k, v in w.items() if '.fc.' not in f'.{k}'
    )


def test_every_tensor_of_monodepth2_lands_where_it_must(monodepth2):
    loaded = imported(monodepth2, 'monodepth2')
    assert loaded.pose is not None
    files = {
        name: torch.load(monodepth2 / f'{name}.pth', weights_only=True)
        for name in ('encoder', 'depth', 'pose_encoder', 'pose')
    }
    for key in ('height', 'width', 'use_stereo'):
        del files['encoder'][key]
    assert all_tensors_of(loaded.network.depth, loaded.pose) == all_tensors_in(*files.values())
    depth, pose = loaded.network.depth.state_dict(), loaded.pose.state_dict()
    for ours, file, theirs in (
        (depth['encoder.conv1.weight'], 'encoder', 'encoder.conv1.weight'),
        (depth['encoder.layer3.1.bn2.running_var'], 'encoder', 'encoder.layer3.1.bn2.running_var'),
        (depth['decoder.levels.0.conv_in.0.weight'], 'depth', 'decoder.0.conv.conv.weight'),
        (depth['decoder.levels.0.conv_out.0.bias'], 'depth', 'decoder.1.conv.conv.bias'),
        (depth['decoder.levels.4.conv_out.0.weight'], 'depth', 'decoder.9.conv.conv.weight'),
        (depth['decoder.heads.3.conv.weight'], 'depth', 'decoder.10.conv.weight'),  # the finest
        (depth['decoder.heads.0.conv.bias'], 'depth', 'decoder.13.conv.bias'),
        (pose['encoder.conv1.weight'], 'pose_encoder', 'encoder.conv1.weight'),
        (pose['squeeze.weight'], 'pose', 'net.0.weight'),
        (pose['conv2.bias'], 'pose', 'net.2.bias'),
        (pose['motion.weight'], 'pose', 'net.3.weight'),
    ):
        torch.testing.assert_close(ours, files[file][theirs], rtol=0, atol=0)
    assert loaded.config.mapping.bounds == ('bounded', 0.1, 100.0)
    assert loaded.config.name == 'resnet18-8'
    assert loaded.config.decoder_channels == LEVELS
    assert loaded.pose_config == PoseNetworkConfig('resnet18')
    assert 'non-commercial' in loaded.provenance.weights_licence
    assert not loaded.metric


def test_a_depth_factor_multiplies_the_depth_of_monodepth2(monodepth2, capsys):
    image = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        plain = imported(monodepth2, 'monodepth2').network(image).inverse_depth
        assert 'trained on images of 640x192' in capsys.readouterr().out
        loaded = imported(monodepth2, 'monodepth2', *CAMERA, '--depth-factor', '5.4')
        metric = loaded.network(image).inverse_depth
    assert loaded.provenance.scale_source == 'imported'
    for before, after in zip(plain, metric):
        torch.testing.assert_close(1 / after, 5.4 / before, rtol=1e-5, atol=0)


def test_a_stereo_network_without_pose_files_is_imported(monodepth2):
    (monodepth2 / 'pose.pth').unlink()
    (monodepth2 / 'pose_encoder.pth').unlink()
    loaded = imported(monodepth2, 'monodepth2')
    assert loaded.pose is None
    assert loaded.pose_config is None


@pytest.mark.parametrize('dropout', [False, True])
def test_every_tensor_of_packnet_lands_where_it_must(tmp_path, monkeypatch, dropout):
    torch.manual_seed(0)
    theirs, pose_theirs = packnet(16, 4, dropout=dropout), posenet()
    path = write_packnet_sfm(tmp_path / 'packnet.ckpt', theirs, pose_theirs, monkeypatch)
    loaded = imported(path, 'packnet-sfm')
    assert loaded.pose is not None
    modules = loaded.network.depth, loaded.pose
    assert all_tensors_of(*modules) == all_tensors_in(theirs, pose_theirs)
    depth, pose = loaded.network.depth.state_dict(), loaded.pose.state_dict()
    for ours, key in (
        ('encoder.stem.conv.weight', 'pre_calc.conv_base.weight'),
        ('encoder.blocks.0.norm.bias', 'conv1.normalize.bias'),
        ('encoder.blocks.3.2.conv2.norm.weight', 'conv4.2.conv2.normalize.weight'),
        ('encoder.blocks.1.0.shortcut.bias', f'conv2.0.conv3.{"0." if dropout else ""}bias'),
        ('encoder.packs.0.conv3d.weight', 'pack1.conv3d.weight'),
        ('encoder.packs.4.conv.weight', 'pack5.conv.conv_base.weight'),
        ('decoder.levels.0.unpack.conv.norm.bias', 'unpack5.conv.normalize.bias'),
        ('decoder.levels.4.unpack.conv3d.bias', 'unpack1.conv3d.bias'),
        ('decoder.levels.1.conv.conv.weight', 'iconv4.conv_base.weight'),
        ('decoder.heads.0.conv.weight', 'disp4_layer.conv1.weight'),
        ('decoder.heads.3.conv.bias', 'disp1_layer.conv1.bias'),
    ):
        torch.testing.assert_close(depth[ours], theirs[key], rtol=0, atol=0)
    torch.testing.assert_close(pose['features.19.bias'], pose_theirs['conv7.1.bias'])
    torch.testing.assert_close(pose['motion.weight'], pose_theirs['pose_pred.weight'])
    assert loaded.config.name == 'packnet01_slim-16'
    assert loaded.config.pack_padding == 'each'
    assert loaded.config.mapping.bounds == ('open', 0.5, 100.0)
    assert loaded.pose_config == PoseNetworkConfig('posenet', normalized_input=False)


def test_the_resnet_networks_of_packnet_sfm_are_imported(tmp_path, monkeypatch):
    torch.manual_seed(0)
    depth = below('encoder.encoder.', resnet18(8)) | below('decoder.', unet_decoder(8, LEVELS))
    pose = below('encoder.encoder.', resnet18(images=2)) | below('decoder.', pose_decoder())
    path = write_packnet_sfm(tmp_path / 'resnet.ckpt', depth, pose, monkeypatch)
    loaded = imported(path, 'packnet-sfm')
    assert loaded.pose is not None
    assert all_tensors_of(loaded.network.depth, loaded.pose) == all_tensors_in(depth, pose)
    assert loaded.config.mapping.bounds == ('bounded', 0.1, 100.0)
    assert loaded.pose_config == PoseNetworkConfig(
        'resnet18', rotation='euler', pair_order='target_first'
    )


def test_a_checkpoint_tells_the_size_and_the_scale_it_was_trained_at(packnet_sfm, capsys):
    loaded = imported(packnet_sfm, 'packnet-sfm', *CAMERA, '--metric')
    printed = capsys.readouterr().out
    assert 'trained on images of 640x384' in printed
    assert 'metric by the measured speed' in printed
    assert loaded.metric


@pytest.mark.parametrize(
    'prefix', ['', 'module.', 'depth_net.', 'module.depth_net.module.', 'model.disp_network.']
)
def test_names_may_begin_as_parallel_training_and_older_releases_made_them(tmp_path, prefix):
    weights = below('encoder.encoder.', resnet18(8)) | below('decoder.', unet_decoder(8, LEVELS))
    torch.save(below(prefix, weights), tmp_path / 'depth.pth')
    loaded = imported(tmp_path / 'depth.pth', 'packnet-sfm')
    assert all_tensors_of(loaded.network.depth) == all_tensors_in(weights)
    assert loaded.pose is None


def test_a_torchvision_encoder_is_for_training_and_for_nothing_else(tmp_path):
    torch.manual_seed(0)
    weights = resnet18()
    torch.save(weights, tmp_path / 'resnet18-f37072fd.pth')
    path = tmp_path / 'encoder.ckpt'
    arguments = [str(tmp_path / 'resnet18-f37072fd.pth'), '--as', 'torchvision-resnet18']
    import_weights.main([*arguments, '--out', str(path)])
    loaded = load_depth_checkpoint(path)
    assert all_tensors_of(loaded.network.depth.encoder) == all_tensors_in(weights)
    import_weights.main([*arguments, '--out', str(tmp_path / 'again.ckpt')])
    again = load_depth_checkpoint(tmp_path / 'again.ckpt')
    assert all_tensors_of(loaded.network) == all_tensors_of(again.network)
    with pytest.raises(UserError, match='random decoder: train it first'):
        export.main([str(path), '--out', str(tmp_path / 'model.onnx')])
    dataset = write_noise_dataset(tmp_path / 'dataset')
    with pytest.raises(UserError, match='random decoder: train it first'):
        evaluate.main(['--model', str(path), '--data', str(dataset)])


def test_imported_weights_are_evaluated_and_exported(monodepth2, tmp_path):
    dataset = write_noise_dataset(tmp_path / 'dataset')
    segmentation = write_segmentation(tmp_path / 'segmentation.ckpt')
    for name, semantic in (('depth', []), ('both', ['--segmentation', str(segmentation)])):
        checkpoint, model = tmp_path / f'{name}.ckpt', tmp_path / f'{name}.onnx'
        import_weights.main(
            [str(monodepth2), '--as', 'monodepth2', '--out', str(checkpoint)]
            + ['--data', str(dataset), *semantic]
        )
        export.main([str(checkpoint), '--out', str(model), '--data', str(dataset)])
        engine = open_engine(model)
        contract, image = engine.contract, torch.zeros(64, 128, 3, dtype=torch.uint8).numpy()
        labels = engine.infer(image).labels
        engine.close()
        assert (labels < CLASS_COUNT).all() if semantic else (labels == UNKNOWN_ID).all()
        assert (contract.network, contract.guidance) == ('resnet18-8', 'none')
        assert contract.intrinsics.fx == 64
        assert 'non-commercial' in contract.weights_licence
    evaluate.main(
        ['--model', str(tmp_path / 'depth.ckpt'), '--data', str(dataset)]
        + ['--out', str(tmp_path / 'evaluation')]
    )
    metrics = json.loads((tmp_path / 'evaluation' / 'metrics.json').read_text())
    assert metrics['model']['network'] == 'resnet18-8'


def test_training_goes_on_from_imported_weights(monodepth2, tmp_path, capsys):
    dataset = write_noise_dataset(tmp_path / 'dataset')
    before = imported(monodepth2, 'monodepth2', '--data', str(dataset))
    printed = capsys.readouterr().out
    # The smallest steps leave what training starts from.
    train.main(
        re.findall('to train from it: (.*)', printed)[0].split()
        + ['--model.network.guidance', 'none', '--model.optimizer.lr', '1e-30']
        + ['--trainer.accelerator', 'cpu', '--trainer.max_steps', '1', '--data.batch_size', '1']
        + ['--data.root', str(dataset), '--out', str(tmp_path / 'run')]
    )
    after = load_depth_checkpoint(tmp_path / 'run' / 'depth.ckpt')
    assert before.pose is not None
    assert after.pose is not None
    for ours, theirs in ((after.network, before.network), (after.pose, before.pose)):
        for (name, value), (_, start) in zip(ours.named_parameters(), theirs.named_parameters()):
            torch.testing.assert_close(value, start, rtol=0, atol=1e-20, msg=name)
    assert after.provenance.weights_licence == before.provenance.weights_licence
    assert after.provenance.scale_source == 'speed'
