"""What a model says of the images of a bag: through the functions that the node calls."""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import BagMessage
from sg_depth_ros.bags.reader import DamagedBagError
from sg_depth_ros.engines import Engine
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import EstimatorSettings
from sg_depth_ros.evaluation.prediction import FramePrediction
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.replay.offline.prediction_bag import PredictionBag
from sg_depth_ros.replay.recorded_drive import RecordedDrive


class PredictedImage(NamedTuple):
    """A prediction and what it is to be judged against."""

    received_ns: int
    prediction: FramePrediction
    truth_m: NDArray[np.float32] | None
    time_s: float


class DamagedImage(NamedTuple):
    """An image that cannot be decoded, and why; the node leaves it out, too."""

    received_ns: int
    reason: str


class BagPredictor:
    """Runs a model on the images of a bag."""

    def __init__(
        self,
        engine: Engine,
        bag: Bag,
        drive: RecordedDrive,
        writer: PredictionBag | None = None,
    ) -> None:
        """
        Begin with a bag that nobody else reads.

        :param writer: also gets what is predicted.
        """
        self._engine = engine
        self._bag = bag
        self._drive = drive
        self._writer = writer
        settings = EstimatorSettings(
            is_rectified=drive.camera.is_rectified, allow_unscaled_depth=True
        )
        self._estimator = DepthEstimator(engine, settings)
        self.broken_off = ''  # why the images after the last one could not be read

    def predictions(self, first: int = 0) -> Iterator[PredictedImage | DamagedImage]:
        """
        Predict every image from a position on, as far as the bag can be read.

        :raises UserError: where not even the first image can be read, or an image does not go
            with the others.
        """
        camera, number = self._drive.camera, first
        entries = self._bag.messages(camera.topics.image, only=range(first, camera.image_count))
        try:
            for entry in entries:
                yield self._predict(number, entry)
                number += 1
        except DamagedBagError as error:
            if number == 0:
                raise
            self.broken_off = str(error)
        else:
            if self._bag.broken_off:
                self.broken_off = f'{self._bag.path}: the end of a file is missing'

    def predictions_of(
        self, numbers: Sequence[int], received_ns: Sequence[int]
    ) -> Iterator[PredictedImage]:
        """
        Predict single images.

        :param numbers: their positions.
        :param received_ns: when every image of the bag was received, by position.
        """
        for number in numbers:
            since_ns = received_ns[number]
            # Several images may have been received at one moment.
            place = number - received_ns.index(since_ns)
            topic = self._drive.camera.topics.image
            for entry in self._bag.messages(topic, only=(place,), since_ns=since_ns):
                predicted = self._predict(number, entry)
                assert isinstance(predicted, PredictedImage), 'it could be decoded before'
                yield predicted

    def _predict(self, number: int, entry: BagMessage) -> PredictedImage | DamagedImage:
        drive = self._drive
        try:
            recorded = self._bag.decoded(entry, drive.camera.topics)
        except ImageEncodingError as error:
            return DamagedImage(entry.received_ns, str(error))
        estimate = self._estimator.estimate(recorded.image, drive.camera.info)
        depth_m = estimate.depth_m
        assert depth_m is not None, estimate.depth_problem
        camera = estimate.camera or self._engine.contract.intrinsics
        if self._writer is not None:
            self._writer.write(recorded, estimate, camera)
        prediction = drive.prediction(
            number,
            recorded,
            depth_m.copy(),  # the estimator fills its own again
            estimate.prediction.labels,
            camera,
        )
        truth_m = drive.truth_m(recorded, camera)
        return PredictedImage(entry.received_ns, prediction, truth_m, drive.time_s(recorded))
