"""
``segment``: the semantic network that guides depth, supervised by labelled images.

Every option can be given in the YAML file or behind the verb; ``--print_config`` shows them all.
"""

from pathlib import Path

import cv2
import torch
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console
from rich.table import Table

from sg_depth_ros.classes import CLASS_NAMES
from training.command_line import RunCLI
from training.data.segmentation_datamodule import SegmentationData
from training.data.segmentation_dataset import SegmentationSample
from training.networks.counting import count_parameters
from training.networks.segmentation import SegmentationNetwork
from training.objective.confusion import SegmentationScore
from training.objective.segmentation_module import PANEL_IMAGES
from training.objective.segmentation_module import SegmentationModule
from training.objective.segmentation_module import prediction_panel
from training.objective.segmentation_module import upsample
from training.running.run_folder import fit
from training.running.run_folder import open_run
from training.running.run_folder import write_result

DESCRIPTION = """
Train the semantic network that guides depth, on images with class ids per pixel: the labelled
frames of a dataset folder or Cityscapes as downloaded (--data.root), or any folder of images and
folder of labels (--data.images, --data.labels). Writes OUT/segmentation.ckpt (the weights with the
best mean IoU on held-out images), OUT/validation.png (image, labels, prediction), OUT/config.yaml
and OUT/tensorboard; OUT/checkpoints is for --resume.
"""
RESULT = 'segmentation.ckpt'
PICTURE = 'validation.png'


def main(arguments: list[str]) -> int:
    """
    Train as the command line says, print mIoU and where the checkpoint lies.

    :param arguments: the command line behind ``segment``.
    :raises UserError: for mistakes in the options or the data.
    """
    cli = RunCLI(
        SegmentationModule,
        SegmentationData,
        out=Path('runs/segment'),
        arguments=arguments,
        program='python -m training segment',
        description=DESCRIPTION,
        link=_options,
        trainer_defaults={
            'log_every_n_steps': 10,
            'enable_model_summary': False,
            'num_sanity_val_steps': 0,
            # KeyedSampler shares the samples out itself.
            'use_distributed_sampler': False,
        },
    )
    checkpoint = train_segmentation(cli)
    if cli.trainer.is_global_zero:
        write_picture(cli.model.network, cli.datamodule, cli.out / PICTURE)
        report(cli.model.best, checkpoint)
    return 0


def train_segmentation(cli: RunCLI) -> Path:
    """
    Train and write the checkpoint of the best weights.

    :return: its path.
    :raises UserError: where the dataset cannot be used; nothing is written before.
    """
    module, data, trainer = cli.model, cli.datamodule, cli.trainer
    run = open_run(cli, RESULT)
    data.setup()
    if trainer.is_global_zero:
        _print_plan(module, data)
    fit(cli, run, 'segment')
    if module.validated_step != trainer.global_step:
        trainer.validate(module, datamodule=data, verbose=False)
    module.go_back_to_best()
    return write_result(trainer, run)


def report(score: SegmentationScore, checkpoint: Path) -> None:
    """Print IoU per class that occurs in the held-out images, and the checkpoint's path."""
    table = Table('class', 'IoU')
    for name, iou in zip(CLASS_NAMES, score.class_iou):
        if iou is not None:
            table.add_row(name, f'{iou:.3f}')
    Console().print(table)
    print(
        f'mIoU {score.mean_iou:.3f} over {score.classes_seen} classes, '
        f'pixel accuracy {score.pixel_accuracy:.3f}, semantic network: {checkpoint}'
    )


def write_picture(network: SegmentationNetwork, data: SegmentationData, path: Path) -> None:
    """Draw a few held-out images, their labels and the prediction."""
    batch = SegmentationSample(
        *(part[:PANEL_IMAGES] for part in next(iter(data.val_dataloader())))
    )
    network.cpu().eval()
    with torch.no_grad():
        logits = network(batch.image.float() / 255).logits
    panel = prediction_panel(batch, upsample(logits, batch.labels).argmax(dim=1))
    cv2.imwrite(str(path), cv2.cvtColor(panel, cv2.COLOR_RGB2BGR))


def _options(parser: LightningArgumentParser) -> None:
    parser.link_arguments('model.network.class_count', 'data.class_count')


def _print_plan(module: SegmentationModule, data: SegmentationData) -> None:
    config, view = module.network.config, data.view
    assert view is not None, 'setup comes first'
    print(
        f'semantic network: ResNet-{config.encoder_depth} of width {config.width}, pyramid of '
        f'{config.pyramid_channels} channels, {count_parameters(module.network) / 1e6:.1f} M '
        f'parameters; {len(data.split.training)} labelled images to learn from at '
        f'{view.width}x{view.height}, {len(data.split.validation)} held out',
        flush=True,
    )
