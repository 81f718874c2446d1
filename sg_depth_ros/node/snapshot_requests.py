"""Who waits for a snapshot of the next frame; one thread."""

from concurrent.futures import Future

from std_msgs.msg import Header

from sg_depth_ros.errors import UserError
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.snapshot import Snapshot


class SnapshotRequests:
    """The futures that the next frame's copies go to."""

    def __init__(self) -> None:
        self._futures: list[Future[Snapshot]] = []

    def add(self, future: 'Future[Snapshot]') -> None:
        """Let a future be filled by the next frame that goes through."""
        self._futures.append(future)

    def any_left(self) -> bool:
        """Return whether anybody still waits: a future may have been cancelled meanwhile."""
        self._futures = [future for future in self._futures if not future.cancelled()]
        return bool(self._futures)

    def answer(self, estimate: Estimate, header: Header) -> None:
        """Give everybody copies of a frame, which the next one would write over."""
        for future in self._begin():
            future.set_result(_copied(estimate, header))

    def refuse(self, reason: str) -> None:
        """Tell everybody that no frame will come."""
        for future in self._begin():
            future.set_exception(UserError(reason))

    def _begin(self) -> 'list[Future[Snapshot]]':
        futures, self._futures = self._futures, []
        return [future for future in futures if future.set_running_or_notify_cancel()]


def _copied(estimate: Estimate, header: Header) -> Snapshot:
    prediction, depth_m = estimate.prediction, estimate.depth_m
    return Snapshot(
        image=estimate.image.copy(),
        depth_m=None if depth_m is None else depth_m.copy(),
        labels=prediction.labels.copy(),
        confidence=prediction.confidence.copy(),
        camera=estimate.camera,
        stamp=header.stamp,
        frame_id=header.frame_id,
    )
