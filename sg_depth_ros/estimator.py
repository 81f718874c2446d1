"""One image and its camera_info to everything the node publishes; no ROS, one thread."""

import time
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_labels
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError
from sg_depth_ros.pipeline import Fit
from sg_depth_ros.pipeline import corrected_depth
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.pipeline import prepare_image
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import calibration_key
from sg_depth_ros.rectification import rectified_camera

STRETCH_TOLERANCE = 0.1  # how far fx/fy may differ from training's before a warning


class EstimatorSettings(NamedTuple):
    """What the user decides about geometry and scale."""

    is_rectified: bool = False
    focal_correction: bool = True
    allow_unscaled_depth: bool = False
    max_depth_m: float | None = None  # None: the contract's
    fit: Fit = 'auto'
    camera_height_m: float | None = None  # gives a model that is not metric its scale
    scale_smoothing_s: float = 2.0


class Estimate(NamedTuple):
    """What there is to publish of one image, all at the network's size."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB, undistorted
    camera: Intrinsics | None  # of ``image``; None where the received camera is unknown
    prediction: Prediction
    depth_m: NDArray[np.float32] | None  # [H, W]; None: not wanted, or ``depth_problem`` says why
    camera_problem: str  # why there is no camera, else empty
    depth_problem: str  # why there is no depth or none of it is valid, else empty
    scale: float  # what the network's depth was multiplied with in all; NaN without depth
    scale_note: str  # what is to say of the scale, else empty
    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float


class DepthEstimator:
    """
    Runs the engine on images of any size and camera.

    What depends on the camera alone is computed when the camera or the image's size changes.

    :param on_change: told in one line when the camera changed.
    :param on_warning: told in one line what about the new camera is doubtful.
    """

    def __init__(
        self,
        engine: Engine,
        settings: EstimatorSettings,
        on_change: Callable[[str], object] = lambda line: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._on_change = on_change
        self._on_warning = on_warning
        self._key: tuple[Any, ...] | None = None
        self._rectified: RectifiedCamera | None = None
        self._outside: NDArray[np.bool_] | None = None
        self._camera_problem = ''

    def change_settings(self, settings: EstimatorSettings) -> None:
        """Take other settings from the next image on."""
        if settings != self._settings:
            self._settings, self._key = settings, None

    def reset(self) -> None:
        """Forget what was learnt from earlier images: their stamps are of another time."""

    def estimate(
        self,
        image: NDArray[np.uint8],
        info: Any,
        want_depth: bool = True,
        stamp_s: float | None = None,
    ) -> Estimate:
        """
        Estimate depth and labels of one image.

        :param image: RGB (h, w, 3).
        :param info: its sensor_msgs/CameraInfo, or None where none has come.
        :param want_depth: False spares the work on depth.
        :param stamp_s: the image's time, by which the scale is smoothed; None: no time passes.
        :return: whose arrays are valid until the next call: the estimator fills them again.
        """
        started = time.perf_counter()
        self._meet_camera(image.shape[1], image.shape[0], info)
        rectified = self._rectified
        if rectified is not None and rectified.undistortion is not None:
            image = rectified.undistortion.apply(image)
        camera = None if rectified is None else rectified.camera
        prepared = prepare_image(image, camera, self._engine.contract)
        prepared_at = time.perf_counter()
        prediction = self._engine.infer(prepared.image)
        inferred_at = time.perf_counter()
        depth_m, depth_problem = self._depth(prediction, prepared.camera, want_depth)
        ended = time.perf_counter()
        return Estimate(
            image=prepared.image,
            camera=prepared.camera,
            prediction=prediction,
            depth_m=depth_m,
            camera_problem=self._camera_problem,
            depth_problem=depth_problem,
            scale=float('nan') if depth_m is None else self._scale(prepared.camera),
            scale_note='',
            preprocess_ms=1e3 * (prepared_at - started),
            inference_ms=1e3 * (inferred_at - prepared_at),
            postprocess_ms=1e3 * (ended - inferred_at),
        )

    def _depth(
        self, prediction: Prediction, camera: Intrinsics | None, want_depth: bool
    ) -> tuple[NDArray[np.float32] | None, str]:
        contract, settings = self._engine.contract, self._settings
        if not contract.metric and not settings.allow_unscaled_depth:
            return None, (
                'the model is not metric, its depth is not published; '
                'set allow_unscaled_depth to publish it up to scale'
            )
        if contract.metric and settings.focal_correction and camera is None:
            return None, f'no metric depth without a camera: {self._camera_problem}'
        if not want_depth:
            return None, ''
        depth_m = corrected_depth(
            prediction,
            contract,
            camera if settings.focal_correction else None,
            settings.max_depth_m,
        )
        if self._outside is not None:
            depth_m[self._outside] = np.nan
        if np.isnan(depth_m).all():
            return depth_m, 'the network gave no valid depth for the whole image'
        return depth_m, ''

    def _scale(self, camera: Intrinsics | None) -> float:
        corrects = self._settings.focal_correction
        return focal_correction(camera if corrects else None, self._engine.contract)

    def _meet_camera(self, width: int, height: int, info: Any) -> None:
        key = (width, height, None if info is None else calibration_key(info))
        if key == self._key:
            return
        self._key = key
        self._rectified, self._outside, self._camera_problem = None, None, ''
        if info is None:
            self._camera_problem = 'no camera_info has come'
            return
        try:
            self._rectified = rectified_camera(info, width, height, self._settings.is_rectified)
        except UserError as error:
            self._camera_problem = str(error)
            return
        contract = self._engine.contract
        undistortion = self._rectified.undistortion
        if undistortion is not None and undistortion.outside is not None:
            mask = undistortion.outside.view(np.uint8)
            self._outside = resize_labels(mask, contract.width, contract.height).astype(bool)
        self._describe(self._rectified)

    def _describe(self, rectified: RectifiedCamera) -> None:
        camera, contract = rectified.camera, self._engine.contract
        resized = camera.resized(contract.width, contract.height)
        factor = focal_correction(resized, contract)
        lens = 'undistorted' if rectified.undistortion is not None else 'without distortion'
        applied = '' if self._settings.focal_correction else ' (not applied)'
        self._on_change(
            f'images of {camera.width}x{camera.height}, {lens}, field of view '
            f'{camera.horizontal_fov_deg():.1f} deg, focal correction x{factor:.3f}{applied}'
        )
        if rectified.scaled:
            self._on_warning(
                f'camera_info is of another size than the {camera.width}x{camera.height} image; '
                'its intrinsics are scaled to the image'
            )
        trained = contract.intrinsics
        stretch = (resized.fx / resized.fy) / (trained.fx / trained.fy)
        if abs(stretch - 1) > STRETCH_TOLERANCE:
            self._on_warning(
                f'at the size of the network, images are stretched by {stretch:.2f} compared '
                'with training and depth suffers; crop them to the shape of the training images'
            )
