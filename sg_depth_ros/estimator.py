"""One image and its camera_info to everything the node publishes; no ROS, one thread."""

import math
import time
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera_info import calibration_key
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError
from sg_depth_ros.height_scale import HeightScale
from sg_depth_ros.pipeline import STRETCH_TOLERANCE
from sg_depth_ros.pipeline import DepthCorrection
from sg_depth_ros.pipeline import Fit
from sg_depth_ros.pipeline import focal_correction
from sg_depth_ros.pipeline import stretch
from sg_depth_ros.preprocessing import Preprocessor
from sg_depth_ros.rectification import RectifiedCamera
from sg_depth_ros.rectification import rectified_camera

NO_VALID_DEPTH = 'the network gave no valid depth for the whole image'


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
    """
    What there is to publish of one image, all at the network's size.

    ``image`` and ``depth_m`` are valid until the next image: the estimator fills them again.
    """

    image: NDArray[np.uint8]  # [H, W, 3], RGB, undistorted and cropped
    camera: Intrinsics | None  # of ``image``; None where the received camera is unknown
    prediction: Prediction  # labels of what the lens did not see are 255, its confidence 0
    depth_m: NDArray[np.float32] | None  # [H, W]; None: not wanted, or ``depth_problem`` says why
    camera_problem: str  # why there is no camera, else empty
    depth_problem: str  # why there is no depth or none of it is valid, else empty
    scale: float  # what the network's depth was multiplied with in all; NaN without depth
    scale_note: str  # what is to say of the scale from the camera's height, else empty
    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float


class _Depth(NamedTuple):
    """Depth and what is said of it, as in ``Estimate``."""

    depth_m: NDArray[np.float32] | None
    problem: str
    scale: float = math.nan
    note: str = ''


class DepthEstimator:
    """
    Runs the engine on images of any size and camera.

    What depends on the camera alone is computed when the camera or the image's size changes.

    :param on_change: told in one line when the camera changed.
    :param on_warning: told in one line what about the new camera or the settings is doubtful.
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
        self._info: Any = None
        self._key: tuple[int, int, Any] | None = None  # None: compute anew, whatever comes
        self._preprocessor: Preprocessor | None = None
        self._camera_problem = ''
        self._correction = DepthCorrection(engine.contract)
        self._height_scale: HeightScale | None = None
        self._meet_settings()

    def change_settings(self, settings: EstimatorSettings) -> None:
        """Take other settings from the next image on; the scale found so far stays."""
        before, self._settings = self._settings, settings
        geometry = settings.is_rectified, settings.fit, settings.focal_correction
        if geometry != (before.is_rectified, before.fit, before.focal_correction):
            self._key = None
        if settings.camera_height_m != before.camera_height_m:
            self._meet_settings()
        if self._height_scale is not None:
            self._height_scale.smoothing_s = settings.scale_smoothing_s

    def reset(self) -> None:
        """Forget what was learnt from earlier images: their stamps are of another time."""
        if self._height_scale is not None:
            self._height_scale.reset()

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
        :param stamp_s: the image's time, by which the scale from the camera's height is smoothed.
        """
        started = time.perf_counter()
        preprocessor = self._meet_camera(image.shape[1], image.shape[0], info)
        shown = preprocessor.apply(image)
        prepared_at = time.perf_counter()
        prediction = self._engine.infer(shown)
        inferred_at = time.perf_counter()
        if preprocessor.outside is not None:
            np.copyto(prediction.labels, UNKNOWN_ID, where=preprocessor.outside)
            np.copyto(prediction.confidence, 0, where=preprocessor.outside)
        depth = self._depth(prediction, preprocessor, want_depth, stamp_s)
        ended = time.perf_counter()
        return Estimate(
            image=shown,
            camera=preprocessor.camera,
            prediction=prediction,
            depth_m=depth.depth_m,
            camera_problem=self._camera_problem,
            depth_problem=depth.problem,
            scale=depth.scale,
            scale_note=depth.note,
            preprocess_ms=1e3 * (prepared_at - started),
            inference_ms=1e3 * (inferred_at - prepared_at),
            postprocess_ms=1e3 * (ended - inferred_at),
        )

    def _depth(
        self,
        prediction: Prediction,
        preprocessor: Preprocessor,
        want_depth: bool,
        stamp_s: float | None,
    ) -> _Depth:
        contract, settings, camera = self._engine.contract, self._settings, preprocessor.camera
        from_height = self._height_scale
        if not contract.metric and from_height is None and not settings.allow_unscaled_depth:
            return _Depth(
                None,
                'the model is not metric, its depth is not published; set camera_height to give '
                'it a scale, or allow_unscaled_depth to publish it up to scale',
            )
        needs_camera = from_height is not None or (contract.metric and settings.focal_correction)
        if needs_camera and camera is None:
            return _Depth(None, f'no metric depth without a camera: {self._camera_problem}')
        if not want_depth:
            return _Depth(None, '')
        scale, note = focal_correction(camera if settings.focal_correction else None, contract), ''
        if from_height is not None and camera is not None:
            found = from_height.update(prediction, camera, stamp_s)
            if found.scale is None:
                return _Depth(None, f'no scale from camera_height yet: {found.note}')
            scale, note = found.scale, found.note
        corrected = self._correction.apply(
            prediction, scale, settings.max_depth_m, preprocessor.outside
        )
        problem = ''
        if corrected.valid_share == 0:
            problem = NO_VALID_DEPTH
        return _Depth(corrected.depth_m, problem, scale, note)

    def _meet_settings(self) -> None:
        settings, contract = self._settings, self._engine.contract
        self._height_scale = None
        if settings.camera_height_m is None:
            return
        if contract.metric:
            self._on_warning('the model is metric by itself: camera_height is not used')
            return
        self._height_scale = HeightScale(
            settings.camera_height_m, contract, settings.scale_smoothing_s
        )

    def _meet_camera(self, width: int, height: int, info: Any) -> Preprocessor:
        known, key = self._preprocessor, self._key
        # Most images come with the very message of the last one.
        if key is None or info is not self._info:
            key = (width, height, None if info is None else calibration_key(info))
        else:
            key = (width, height, key[2])
        self._info = info
        if known is not None and key == self._key:
            return known
        self._key = None  # where making the next one raises, the last must not serve in its place
        rectified: RectifiedCamera | None = None
        self._camera_problem = 'no camera_info has come' if info is None else ''
        if info is not None:
            try:
                rectified = rectified_camera(info, width, height, self._settings.is_rectified)
            except UserError as error:
                self._camera_problem = str(error)
        preprocessor = Preprocessor(
            width, height, rectified, self._engine.contract, self._settings.fit
        )
        self._preprocessor, self._key = preprocessor, key
        if rectified is not None:
            self._describe(rectified, preprocessor)
        return preprocessor

    def _describe(self, rectified: RectifiedCamera, preprocessor: Preprocessor) -> None:
        camera, contract = rectified.camera, self._engine.contract
        factor = focal_correction(preprocessor.camera, contract)
        lens = 'undistorted' if rectified.lens is not None else 'without distortion'
        applied = '' if self._settings.focal_correction else ' (not applied)'
        window = preprocessor.window
        crop = ''
        if (window.width, window.height) != (camera.width, camera.height):
            crop = f', cropped to {window.width}x{window.height} at ({window.left}, {window.top})'
        self._on_change(
            f'images of {camera.width}x{camera.height}, {lens}{crop}, field of view '
            f'{camera.cropped(*window).horizontal_fov_deg():.1f} deg, '
            f'focal correction x{factor:.3f}{applied}'
        )
        if rectified.scaled:
            self._on_warning(
                f'camera_info is of another size than the {camera.width}x{camera.height} image; '
                'its intrinsics are scaled to the image'
            )
        if rectified.doubt:
            self._on_warning(rectified.doubt)
        stretched = stretch(camera.cropped(*window), contract)
        if abs(stretched - 1) > STRETCH_TOLERANCE:
            self._on_warning(
                f'at the size of the network, images are stretched by {stretched:.2f} compared '
                'with training and depth suffers; set input_fit to crop or auto'
            )
