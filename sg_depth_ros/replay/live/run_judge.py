"""Judging the depth that came back over the topics, image by image."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.stamped import StampedImage
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.evaluation.findings import FrameFinding
from sg_depth_ros.evaluation.frame_key import FrameKey
from sg_depth_ros.evaluation.frame_pictures import FrameView
from sg_depth_ros.evaluation.judging import JudgingOptions
from sg_depth_ros.evaluation.judging import assemble_findings
from sg_depth_ros.evaluation.judging import judge_frame
from sg_depth_ros.evaluation.judging import view_frame
from sg_depth_ros.evaluation.models import NamedModel
from sg_depth_ros.pipeline import fitted_camera
from sg_depth_ros.replay.live.check import published_depth
from sg_depth_ros.replay.live.check import published_labels
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.recorded_drive import RecordedDrive


class Published(NamedTuple):
    """What came of an image."""

    number: int  # of the image in the bag, from 0
    recorded: StampedImage
    depth_m: NDArray[np.float32]  # [h, w]
    labels: NDArray[np.uint8]  # [h, w]

    def digest(self) -> bytes:
        """Return a hash of depth and labels."""
        hashed = blake2b(self.depth_m.tobytes(), digest_size=16)
        hashed.update(self.labels.tobytes())
        return hashed.digest()


class RunJudge:
    """
    Judges the runs of one bag.

    A network gives equal depth for equal images, so that most frames of a second run are known
    from the first: they are not judged again.
    """

    def __init__(
        self,
        bag: Bag,
        drive: RecordedDrive,
        model: NamedModel,
        contract: ModelContract,
        options: JudgingOptions,
    ) -> None:
        self._bag = bag
        self._drive = drive
        self._model = model
        self._contract = contract
        self._options = options
        self._camera = fitted_camera(drive.camera.intrinsics, contract)
        self._known: dict[tuple[int, bytes], FrameFinding] = {}

    def judge(
        self, recording: Recording, name: str, on_image: Callable[[], None] = lambda: None
    ) -> Findings:
        """
        Judge what was published, in the order of the bag; images without depth are left out.

        :param name: of the run, in tables.
        :param on_image: called after each image.
        """
        found = []
        for published in self._published(recording):
            key = (published.number, published.digest())
            if key not in self._known:
                self._known[key] = self._judge(published)
            found.append(self._known[key])
            on_image()
        model = self._model._replace(name=name)
        return assemble_findings(model, self._contract, self._drive.name, self._options, found)

    def views(
        self, recording: Recording, findings: Findings, frames: Collection[FrameKey]
    ) -> dict[FrameKey, FrameView]:
        """Return all that pictures of some judged frames need."""
        finding_of = {f.entry: f for f in findings.frames}
        numbers = sorted({key.frame for key in frames})
        return {
            FrameKey(self._drive.name, p.number): view_frame(
                findings.name,
                finding_of[FrameKey(self._drive.name, p.number)],
                self._drive.prediction(p.number, p.recorded, p.depth_m, p.labels, self._camera),
                self._drive.truth_m(p.recorded, self._camera),
                self._contract,
                self._options,
            )
            for p in self._published(recording, numbers)
        }

    def _judge(self, published: Published) -> FrameFinding:
        number, recorded, depth_m, labels = published
        return judge_frame(
            self._drive.prediction(number, recorded, depth_m, labels, self._camera),
            self._drive.truth_m(recorded, self._camera),
            self._contract,
            self._options,
            self._drive.time_s(recorded),
        )

    def _published(
        self, recording: Recording, numbers: list[int] | None = None
    ) -> Iterator[Published]:
        topics = self._drive.camera.topics
        # As far as the bag was played: behind that it may not be readable.
        wanted = range(len(recording.sent)) if numbers is None else numbers
        for number, entry in zip(wanted, self._bag.messages(topics.image, only=wanted)):
            depth = recording.of_image('depth', number)
            mask = recording.of_image('mask', number)
            if depth is None or mask is None:
                continue
            try:
                depth_m = published_depth(depth)
                labels = published_labels(mask, len(self._contract.class_names))
            except ValueError:
                continue  # one of the run's problems already
            recorded = self._bag.decoded(entry, topics)
            yield Published(number, recorded, depth_m, _enlarged(labels, depth_m.shape))


def _enlarged(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Give labels of every so many pixels to all of them: a mask has the size of the cloud."""
    if labels.shape == shape:
        return labels
    stride = -(-shape[0] // labels.shape[0])
    repeated = labels.repeat(stride, axis=0).repeat(stride, axis=1)
    return repeated[: shape[0], : shape[1]]
