"""Neighbouring images warped into a frame by a trained network: what is wrong shows as error."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.errors import UserError
from sg_depth_ros.report.pictures import depth_picture
from training.checking.panel import Panel
from training.checking.pictures import named_grid
from training.checkpoint import LoadedDepth
from training.checkpoint import load_depth_checkpoint
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import read_image
from training.data.triplets import TripletIndex
from training.data.triplets import list_triplets
from training.networks.motion import motion_to_transform
from training.objective.warping import pixel_rays
from training.objective.warping import synthesise

SHOWN_FRAMES = 3
FULL_ERROR = 0.25  # mean absolute difference of colours, 0..1, drawn in the last colour
WIDTH_PX = 477  # of one picture, two beside each other
UNSCALED_DEPTH_M = 15.0  # the median of a street, to colour depth of unknown scale


class Reprojector:
    """
    Draws frames rebuilt through predicted depth and motion.

    :param checkpoint: of ``train``.
    :raises UserError: where it is no depth checkpoint, or one without a pose network.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._loaded: LoadedDepth = load_depth_checkpoint(checkpoint)
        if self._loaded.pose is None:
            raise UserError(
                f'{checkpoint}: holds no pose network, so nothing can be warped; '
                'give a checkpoint of train'
            )

    def panels(self, folder: Path, drive: Drive) -> tuple[Panel, ...]:
        """
        Draw a few frames of a drive.

        :raises UserError: where an image is missing or damaged.
        """
        triplets = list_triplets(drive)
        if not triplets:
            return ()
        chosen = np.linspace(0, len(triplets) - 1, SHOWN_FRAMES + 2)[1:-1].astype(int)
        return tuple(self._panel(folder, drive, triplets[n]) for n in np.unique(chosen))

    def _panel(self, folder: Path, drive: Drive, triplet: TripletIndex) -> Panel:
        trained = self._loaded.provenance.intrinsics
        camera = drive.intrinsics.resized(trained.width, trained.height)
        frames = (triplet.target, triplet.previous, triplet.following)
        images = np.stack(
            [
                resize_image(read_image(frame_path(folder, i)), camera.width, camera.height)
                for i in frames
            ]
        )
        depth_m, rebuilt = self._rebuild(images, camera, triplet)
        errors = [np.abs(r - images[0] / 255.0).mean(-1) for r in rebuilt]
        standing = [np.abs(images[i] - images[0].astype(np.float64)).mean() / 255 for i in (1, 2)]
        scale = 1.0 if self._loaded.metric else UNSCALED_DEPTH_M / float(np.median(depth_m))
        rows = [
            ('target', images[0]),
            (
                'depth' if self._loaded.metric else 'depth, up to scale',
                depth_picture(depth_m * scale),
            ),
        ]
        for name, picture, error in zip(('previous', 'following'), rebuilt, errors):
            rows.append((f'{name} frame, warped', np.rint(255 * picture).astype(np.uint8)))
            rows.append((f'its error, {error.mean():.3f}', _error_picture(error)))
        height = round(WIDTH_PX * camera.height / camera.width)
        enlarged = [(name, resize_image(p, WIDTH_PX, height)) for name, p in rows]
        caption = (
            f'Frame {triplet.target:06d} rebuilt from {triplet.previous:06d} and '
            f'{triplet.following:06d}: mean error {np.mean(errors):.3f}, unwarped '
            f'{np.mean(standing):.3f}. Error is black at 0 and yellow from {FULL_ERROR:g}.'
        )
        return Panel(triplet.target, named_grid(enlarged, 2), caption)

    def _rebuild(
        self, images: NDArray[np.uint8], camera: Intrinsics, triplet: TripletIndex
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return depth (H, W) and the two rebuilt images (2, H, W, 3) in 0..1."""
        pose = self._loaded.pose
        assert pose is not None
        seen = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        matrix = torch.from_numpy(camera.matrix()).float().unsqueeze(0)
        with torch.inference_mode():
            depth: Tensor = 1 / self._loaded.network.inverse_depth(seen[:1])[0].float()
            motion = pose(seen[:1], seen[None, 1:])
            known = torch.tensor([triplet.displacement_m]) if self._loaded.metric else None
            rebuilt = synthesise(
                seen[None, 1:],
                pixel_rays(matrix, camera.height, camera.width),
                depth,
                motion_to_transform(motion, known),
                matrix,
            )
        return (
            np.asarray(depth[0, 0].numpy(), np.float32),
            np.asarray(rebuilt[0].permute(0, 2, 3, 1).numpy(), np.float32),
        )


def _error_picture(error: NDArray[np.floating]) -> NDArray[np.uint8]:
    share = np.rint(255 * np.clip(error / FULL_ERROR, 0, 1)).astype(np.uint8)
    return np.asarray(
        cv2.cvtColor(cv2.applyColorMap(share, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8
    )
