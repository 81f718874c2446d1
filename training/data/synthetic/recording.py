"""Making a synthetic drive: every frame rendered, measured and written down."""

import math
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.drive import write_labels
from training.data.drive import write_lidar
from training.data.synthetic import layout
from training.data.synthetic.layout import SyntheticDrive
from training.data.synthetic.layout import SyntheticFrame
from training.data.synthetic.lidar import Scan
from training.data.synthetic.lidar import scan
from training.data.synthetic.motion import Motion
from training.data.synthetic.motion import plan_motion
from training.data.synthetic.renderer import Picture
from training.data.synthetic.renderer import render
from training.data.synthetic.street import Street
from training.data.synthetic.street import build_street
from training.data.synthetic.traffic import street_at

# A fixed date, so that the same seed gives the same bag.
FIRST_STAMP_NS = 1_700_000_000_000_000_000
MIN_FRAMES = 3  # a target and a frame on either side
MIN_SIDE_PX = 32
MAX_SIDE_PX = 4096
T_BASE_CAMERA = np.array(
    [[0.0, 0.0, 1.0, 1.30], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.50]], np.float64
)
T_BASE_LIDAR = np.array(
    [[1.0, 0.0, 0.0, 0.90], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.80]], np.float64
)


@dataclass(frozen=True)
class Recipe:
    """What to make."""

    seconds: float = 20.0
    seed: int = 0
    width: int = 384
    height: int = 128
    rate_hz: float = 10.0
    storage: BagStorage = 'sqlite3'

    @property
    def frame_count(self) -> int:
        """How many images that is."""
        return round(self.seconds * self.rate_hz)

    def check(self) -> None:
        """
        Refuse what cannot be made.

        :raises UserError: naming the option.
        """
        if self.seed < 0:
            raise UserError(f'--seed {self.seed} is negative')
        for name, value in (('--seconds', self.seconds), ('--rate', self.rate_hz)):
            if not (math.isfinite(value) and value > 0):
                raise UserError(f'{name} {value} is not positive')
        if self.frame_count < MIN_FRAMES:
            raise UserError(
                f'--seconds {self.seconds:g} at --rate {self.rate_hz:g} is {self.frame_count} '
                f'frames; at least {MIN_FRAMES} are needed'
            )
        for name, value in (('--width', self.width), ('--height', self.height)):
            if not MIN_SIDE_PX <= value <= MAX_SIDE_PX:
                raise UserError(f'{name} {value} is not within {MIN_SIDE_PX}..{MAX_SIDE_PX}')

    def camera(self) -> Intrinsics:
        """Return a camera of about 80 degrees, its centre a little off the image's, as always."""
        focal = 0.58 * self.width
        return Intrinsics(
            fx=focal,
            fy=focal,
            cx=0.5 * (self.width - 1) + 0.006 * self.width,
            cy=0.5 * (self.height - 1) + 0.02 * self.height,
            width=self.width,
            height=self.height,
        )


class Instant(NamedTuple):
    """Everything recorded at one stamp."""

    frame: SyntheticFrame
    picture: Picture
    scan: Scan
    T_world_base: NDArray[np.float64]  # [3, 4]
    yaw_rate_rad_s: float


def record(recipe: Recipe, folder: Path, advance: Callable[[], None]) -> SyntheticDrive:
    """
    Make a drive.

    :param folder: appears when complete; may exist if empty.
    :param advance: called after each frame.
    :raises UserError: where the recipe is impossible or the folder is taken.
    """
    recipe.check()
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'{folder}: exists already; name a new folder or remove this one')
    partial = folder.parent / f'.{folder.name}.partial'
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for kind in ('depth', 'labels', 'same_speed'):
            (partial / 'ground_truth' / kind).mkdir(parents=True)
        drive = _write(recipe, partial, advance)
        partial.rename(folder)
    except OSError as error:
        raise UserError(f'{folder}: cannot be written ({error.strerror or error})') from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(drive, folder=folder)


def instants(recipe: Recipe) -> Iterator[Instant]:
    """Render and measure a drive, frame by frame; the same recipe gives the same bytes."""
    rng = np.random.default_rng(recipe.seed)
    motion = plan_motion(rng, recipe.seconds)
    street = build_street(rng, motion)
    camera = recipe.camera()
    for index in range(recipe.frame_count):
        yield _instant(index, index / recipe.rate_hz, motion, street, camera)


def compose(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chain two transforms (3, 4): T_a_b and T_b_c give T_a_c."""
    return np.concatenate(
        [first[:, :3] @ second[:, :3], first[:, :3] @ second[:, 3:] + first[:, 3:]], axis=1
    )


def _instant(
    index: int, time_s: float, motion: Motion, street: Street, camera: Intrinsics
) -> Instant:
    T_world_base = motion.pose(time_s)
    T_world_camera = compose(T_world_base, T_BASE_CAMERA)
    moment = street_at(street, time_s)
    picture = render(camera, T_world_camera, moment, motion.road)
    same_speed_pixels = int(picture.same_speed.sum())
    frame = SyntheticFrame(
        index=index,
        stamp_ns=FIRST_STAMP_NS + round(time_s * 1e9),
        speed_m_s=motion.speed_at(time_s),
        T_world_camera=tuple(float(v) for v in T_world_camera.ravel()),
        same_speed_car=same_speed_pixels > 0,
        same_speed_pixels=same_speed_pixels,
    )
    points = scan(compose(T_world_base, T_BASE_LIDAR), moment, motion.road)
    return Instant(frame, picture, points, T_world_base, motion.vehicle(time_s)[1])


def _write(recipe: Recipe, folder: Path, advance: Callable[[], None]) -> SyntheticDrive:
    camera = recipe.camera()
    frames = []
    with BagWriter(folder / 'bag', recipe.storage) as bag:
        bag.tf_static(
            FIRST_STAMP_NS,
            (
                FrameTransform(layout.BASE_FRAME, layout.CAMERA_FRAME, T_BASE_CAMERA),
                FrameTransform(layout.BASE_FRAME, layout.LIDAR_FRAME, T_BASE_LIDAR),
            ),
        )
        for instant in instants(recipe):
            _write_messages(bag, camera, instant)
            index = instant.frame.index
            write_lidar(instant.picture.depth_m, layout.depth_path(folder, index))
            write_labels(instant.picture.labels, layout.synthetic_labels_path(folder, index))
            if instant.frame.same_speed_car:
                mask = instant.picture.same_speed.astype(np.uint8)
                write_labels(mask, layout.same_speed_path(folder, index))
            frames.append(instant.frame)
            advance()
    drive = SyntheticDrive(
        folder=folder,
        seed=recipe.seed,
        rate_hz=recipe.rate_hz,
        intrinsics=camera,
        T_base_camera=tuple(T_BASE_CAMERA.ravel().tolist()),
        T_base_lidar=tuple(T_BASE_LIDAR.ravel().tolist()),
        frames=tuple(frames),
    )
    layout.write_synthetic(drive)
    return drive


def _write_messages(bag: BagWriter, camera: Intrinsics, instant: Instant) -> None:
    stamp_ns = instant.frame.stamp_ns
    bag.odometry(
        layout.ODOMETRY_TOPIC,
        stamp_ns,
        layout.WORLD_FRAME,
        layout.BASE_FRAME,
        instant.T_world_base,
        (instant.frame.speed_m_s, 0.0, 0.0),
        (0.0, 0.0, instant.yaw_rate_rad_s),
    )
    bag.tf(
        stamp_ns,
        [FrameTransform(layout.WORLD_FRAME, layout.BASE_FRAME, instant.T_world_base)],
    )
    bag.camera_info(layout.CAMERA_INFO_TOPIC, stamp_ns, layout.CAMERA_FRAME, camera)
    bag.image(layout.IMAGE_TOPIC, stamp_ns, layout.CAMERA_FRAME, instant.picture.image)
    bag.cloud(layout.LIDAR_TOPIC, stamp_ns, layout.LIDAR_FRAME, instant.scan.points)
