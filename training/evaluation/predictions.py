"""What a model says of a dataset's frames, at the network's size."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.errors import UserError
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.pipeline import prepare_image
from training.data.drive import Drive
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import read_image
from training.data.drive import read_labels


class FramePrediction(NamedTuple):
    """A frame and its depth, both at the network's size."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB
    depth_m: NDArray[np.float32]  # [H, W], corrected for the drive's focal length
    labels: NDArray[np.uint8]  # [H, W]; given where the drive has labels, else predicted
    labels_given: bool
    camera: Intrinsics  # of ``image``


def predict_frame(
    engine: Engine, folder: Path, drive: Drive, index: int, *, flip: bool = False
) -> FramePrediction:
    """
    Predict depth and labels of a frame.

    :param folder: the drive's folder.
    :param flip: average inverse depth with that of the mirrored image.
    :raises UserError: where the frame is missing or the model gives no depth for it.
    """
    path = frame_path(folder, index)
    image, camera = prepare_image(read_image(path), drive.intrinsics, engine.contract)
    assert camera is not None
    prediction = engine.infer(image)
    depth_m = prediction.depth_m
    if flip:
        mirrored = engine.infer(np.ascontiguousarray(image[:, ::-1])).depth_m[:, ::-1]
        with np.errstate(divide='ignore', invalid='ignore'):
            depth_m = np.float32(2) / (1 / depth_m + 1 / mirrored)
    if not np.all(depth_m > 0):
        raise UserError(f'{path}: the model gives NaN or no positive depth; train it again')
    labels, given = prediction.labels, labels_path(folder, index).exists()
    if given:
        stored = read_labels(labels_path(folder, index))
        labels = resize_labels(stored, engine.contract.width, engine.contract.height)
    depth_m = depth_m * np.float32(focal_correction(camera, engine.contract))
    return FramePrediction(image, depth_m, labels, given, camera)
