"""A bag of what a model predicts, on the node's topics: for RViz, Foxglove and other programs."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from sg_depth_ros.bags.stamped import StampedImage
from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import colorize_labels
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.point_cloud import PointCloudBuilder

NAMESPACE = '/depth_node'  # where config/depth.rviz looks


class PredictionBag:
    """
    A bag being written; use as a context manager.

    It holds image, depth, camera_info, labels, their colours and the cloud of every image, each
    with the image's stamp and frame, received when the image was.
    """

    def __init__(self, path: Path, storage: BagStorage = 'mcap') -> None:
        """
        Prepare to write the bag folder ``path``.

        :raises UserError: where something is there already.
        """
        self._writer = BagWriter(path, storage)
        self._builder: PointCloudBuilder | None = None
        self._stack = ExitStack()

    def __enter__(self) -> 'PredictionBag':
        """Open the bag."""
        self._stack.enter_context(self._writer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the bag, or remove it after an exception."""
        self._stack.__exit__(kind, error, trace)

    def write(self, recorded: StampedImage, estimate: Estimate, camera: Intrinsics) -> None:
        """
        Write what was predicted of an image.

        :param camera: of the depth image.
        """
        assert estimate.depth_m is not None
        write, stamp_ns, frame_id = self._writer, recorded.stamp_ns, recorded.frame_id
        received_ns, labels = recorded.received_ns, estimate.prediction.labels
        for topic, image in (
            ('image_rect_color', estimate.image),
            ('depth/image', estimate.depth_m),
            ('semantic/mask', labels),
            ('semantic/color', colorize_labels(labels)),
        ):
            write.image(f'{NAMESPACE}/{topic}', stamp_ns, frame_id, image, received_ns)
        write.camera_info(
            f'{NAMESPACE}/depth/camera_info', stamp_ns, frame_id, camera, received_ns
        )
        if self._builder is None or self._builder.camera != camera:
            self._builder = PointCloudBuilder(camera, with_labels=True)
        points = self._builder.build(estimate.depth_m, estimate.image, labels)
        write.organised_cloud(f'{NAMESPACE}/points', stamp_ns, frame_id, points, received_ns)
