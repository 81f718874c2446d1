"""What a model says of frames, at the network's size."""

from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.pipeline import prepare_image
from training.evaluation.frames import JudgedFrames
from training.torch_engine import TorchEngine

BATCH_SIZE = 8


class _Loaded(NamedTuple):
    """A frame as the network takes it."""

    entry: FrameKey
    image: NDArray[np.uint8]
    camera: Intrinsics
    labels: NDArray[np.uint8] | None


def predict_frame(
    engine: Engine, frames: JudgedFrames, entry: FrameKey, *, flip: bool = False
) -> FramePrediction:
    """
    Predict depth and labels of one frame.

    :param flip: average inverse depth with that of the mirrored image.
    :raises UserError: where the frame is missing or the model gives no depth for it.
    """
    (prediction,) = predict_frames(engine, frames, (entry,), flip=flip)
    return prediction


def predict_frames(
    engine: Engine,
    frames: JudgedFrames,
    entries: Sequence[FrameKey],
    *,
    flip: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Iterator[FramePrediction]:
    """
    Predict depth and labels of frames, in their order; the next ones are read meanwhile.

    :param flip: average inverse depth with that of the mirrored image.
    :param batch_size: so many go through a checkpoint at once; an exported model takes one. The
        last bits of depth may depend on it.
    :raises UserError: where a frame is missing or the model gives no depth for it.
    """
    batches = [entries[i : i + batch_size] for i in range(0, len(entries), batch_size)]
    with ThreadPoolExecutor(1) as reader:
        loading = None
        for batch in (*batches, ()):
            following = reader.submit(_load_batch, engine, frames, batch) if batch else None
            if loading is not None:
                yield from _predict_batch(engine, frames, loading.result(), flip)
            loading = following


def _load_batch(
    engine: Engine, frames: JudgedFrames, entries: Sequence[FrameKey]
) -> list[_Loaded]:
    contract, loaded = engine.contract, []
    for entry in entries:
        image, camera = prepare_image(frames.image(entry), frames.camera(entry), contract)
        assert camera is not None
        labels = frames.labels(entry)
        if labels is not None:
            labels = resize_labels(labels, contract.width, contract.height)
        loaded.append(_Loaded(entry, image, camera, labels))
    return loaded


def _predict_batch(
    engine: Engine, frames: JudgedFrames, loaded: Sequence[_Loaded], flip: bool
) -> Iterator[FramePrediction]:
    predictions = _infer(engine, [frame.image for frame in loaded])
    mirrored: Sequence[Prediction | None] = [None] * len(loaded)
    if flip:
        mirrored = _infer(engine, [np.ascontiguousarray(f.image[:, ::-1]) for f in loaded])
    for frame, prediction, mirror in zip(loaded, predictions, mirrored):
        depth_m = prediction.depth_m
        if mirror is not None:
            with np.errstate(divide='ignore', invalid='ignore'):
                depth_m = np.float32(2) / (1 / depth_m + 1 / mirror.depth_m[:, ::-1])
        if not np.all(depth_m > 0):
            path = frames.path(frame.entry)
            raise UserError(f'{path}: the model gives NaN or no positive depth; train it again')
        given = frame.labels is not None
        yield FramePrediction(
            frame.entry,
            frame.image,
            depth_m * np.float32(focal_correction(frame.camera, engine.contract)),
            prediction.labels if frame.labels is None else frame.labels,
            given,
            frame.camera,
        )


def _infer(engine: Engine, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
    if isinstance(engine, TorchEngine):
        return engine.infer_batch(np.stack(images))
    return [engine.infer(image) for image in images]
