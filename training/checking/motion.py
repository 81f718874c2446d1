"""What moves from each frame to the next: the image, the camera's turn and way, and the road."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from training.checking.features import Gray
from training.checking.features import Matches
from training.checking.features import match
from training.checking.road import RoadView
from training.checking.road import way_in_heights
from training.checking.sampling import REFERENCE_WIDTH_PX
from training.checking.sampling import Sample
from training.checking.two_view import Array
from training.checking.two_view import Camera
from training.checking.two_view import PairBatch
from training.checking.two_view import TwoViewMotion
from training.checking.two_view import rotation_of
from training.checking.two_view import rotation_vector
from training.checking.two_view import two_view_motion

LEAST_MATCHES = 30  # fewer say nothing of the camera's motion
STILL_FLOW_PX = 0.3  # of an image 640 wide, as the other limits here
MOVING_FLOW_PX = 1.0
ROTATION_FLOW_PX = 2.0
ROTATION_PARALLAX_PX = 0.45  # what remains at the 80th percentile when the turn is taken out
UNCHANGED_GRAY = 0.02  # mean change of gray values of one and the same image
LEAST_AHEAD = 0.7  # cosine: a camera that looks elsewhere does not see the road come


@dataclass(frozen=True, eq=False)
class PairMotions:
    """From frame ``frames[i]`` to the next one; NaN where it could not be measured."""

    frames: NDArray[np.int64]  # [P]
    matches: tuple[Matches, ...]
    flow_px: Array  # [P], median length, at 640 wide
    parallax_px: Array  # [P], 80th percentile without the turn, at 640 wide
    turn_rad: Array  # [P, 3], rotation vector, x right, y down, z ahead
    way: Array  # [P, 3], direction in which the camera travels, in its own frame
    rotation: Array  # [P, 3, 3], R of X_next = R X + t
    road_rate: Array  # [P], way / camera height, from the road
    change_gray: Array  # [P], mean absolute change of the image

    @property
    def still(self) -> NDArray[np.bool_]:
        """Return the pairs in which the image does not move."""
        return self.flow_px < STILL_FLOW_PX

    @property
    def unchanged(self) -> NDArray[np.bool_]:
        """Return the pairs whose images are the same."""
        return self.change_gray < UNCHANGED_GRAY

    @property
    def moving(self) -> NDArray[np.bool_]:
        """Return the pairs in which things at different distances move differently."""
        return (self.flow_px > MOVING_FLOW_PX) & (self.parallax_px > MOVING_FLOW_PX)

    @property
    def rotation_only(self) -> NDArray[np.bool_]:
        """Return the pairs that a turn of the camera explains."""
        return (self.flow_px > ROTATION_FLOW_PX) & (self.parallax_px < ROTATION_PARALLAX_PX)


class _Pair(NamedTuple):
    frame: int
    first: Gray
    second: Gray


def measure_motion(
    sample: Sample, intrinsics: Intrinsics, advance: Callable[[], None]
) -> PairMotions:
    """
    Measure every pair of consecutive frames that were read.

    :param advance: called after each pair.
    """
    pairs = [
        _Pair(run.first + i, run.grays[i], run.grays[i + 1])
        for run in sample.runs
        for i in range(len(run.grays) - 1)
    ]
    camera, scale = Camera.of(intrinsics), REFERENCE_WIDTH_PX / intrinsics.width
    matches = []
    for pair in pairs:
        matches.append(match(pair.first, pair.second))
        advance()
    count = len(pairs)
    batch = pad(matches)
    noise_px = 0.05 + 0.3 / scale
    motion = two_view_motion(camera, batch, noise_px)
    known = batch.mask.sum(1) >= LEAST_MATCHES
    moved_px = np.where(batch.mask > 0, np.linalg.norm(batch.second - batch.first, axis=2), np.nan)
    flow_px = np.full(count, np.nan)
    parallax_px = np.full(count, np.nan)
    if known.any():
        flow_px[known] = scale * np.nanmedian(moved_px[known], axis=1)
        left = _without_turn(camera, PairBatch(*(part[known] for part in batch)), noise_px)
        parallax_px[known] = scale * left
    turn, way = _turn_and_way(motion, known & (flow_px > STILL_FLOW_PX))
    return PairMotions(
        frames=np.array([p.frame for p in pairs], np.int64),
        matches=tuple(matches),
        flow_px=flow_px,
        parallax_px=parallax_px,
        turn_rad=turn,
        way=way,
        rotation=motion.rotation,
        road_rate=_road_rates(pairs, intrinsics, motion, way),
        change_gray=np.array([_change(p.first, p.second) for p in pairs]),
    )


def pad(matches: list[Matches]) -> PairBatch:
    """Put matches of many pairs into arrays of one size."""
    most = max((len(m.first) for m in matches), default=0) or 1
    first, second = np.zeros((2, len(matches), most, 2))
    mask = np.zeros((len(matches), most))
    for number, one in enumerate(matches):
        count = len(one.first)
        first[number, :count], second[number, :count] = one.first, one.second
        mask[number, :count] = 1.0
    return PairBatch(first, second, mask)


def _turn_and_way(motion: TwoViewMotion, known: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return turns and ways of the camera: X_next = R X + t, so the camera went -R^T t."""
    way = -(np.swapaxes(motion.rotation, 1, 2) @ motion.direction[..., None])[..., 0]
    turn = rotation_vector(motion.rotation)
    return np.where(known[:, None], turn, np.nan), np.where(known[:, None], way, np.nan)


def _without_turn(camera: Camera, pairs: PairBatch, noise_px: float) -> Array:
    """Fit a turn alone to each pair; return the 80th percentile of what remains, in pixels."""
    rays = camera.rays(pairs.first)
    rotation = np.tile(np.eye(3), (len(rays), 1, 1))
    step, left = 1e-5, np.zeros(pairs.mask.shape)
    for number in range(9):
        error = camera.pixels(rays @ np.swapaxes(rotation, 1, 2)) - pairs.second
        left = np.linalg.norm(error, axis=2)
        if number == 8:
            break
        turned = [
            camera.pixels(rays @ np.swapaxes(rotation_of(step * axis) @ rotation, 1, 2))
            - pairs.second
            for axis in np.eye(3)
        ]
        jacobian = np.stack([(t - error) / step for t in turned], axis=-1)  # [P, N, 2, 3]
        # The first steps see every point, the last ones those that the turn explains.
        scale = max(noise_px, 8 * noise_px / 2**number)
        weight = (pairs.mask / (1 + (left / scale) ** 2))[..., None]
        normal = np.einsum('pnci,pncj->pij', jacobian * weight[..., None], jacobian)
        gradient = np.einsum('pnci,pnc->pi', jacobian * weight[..., None], error)
        change = -np.linalg.solve(normal + 1e-6 * np.eye(3), gradient[..., None])[..., 0]
        rotation = rotation_of(np.clip(change, -0.2, 0.2)) @ rotation
    return np.asarray(np.nanpercentile(np.where(pairs.mask > 0, left, np.nan), 80, axis=1))


def _road_rates(
    pairs: list[_Pair], intrinsics: Intrinsics, motion: TwoViewMotion, way: Array
) -> Array:
    rates = np.full(len(pairs), np.nan)
    known = np.isfinite(way[:, 0])
    if not known.any():
        return rates
    ahead = np.median(way[known], axis=0)
    if ahead[2] < LEAST_AHEAD * np.linalg.norm(ahead):
        return rates
    view = RoadView.of(intrinsics, ahead)
    for number in np.flatnonzero(known):
        pair = pairs[number]
        rates[number] = way_in_heights(
            view, pair.first, pair.second, motion.rotation[number], motion.direction[number]
        )
    return rates


def _change(first: Gray, second: Gray) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())
