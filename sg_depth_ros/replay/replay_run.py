"""One run of a bag through a node of its own, and judging the depth that came back."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.progress import track

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import BagMessage
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.errors import UserError
from sg_depth_ros.pipeline import fitted_camera
from sg_depth_ros.replay.check import CHECKED_KINDS
from sg_depth_ros.replay.check import RunResult
from sg_depth_ros.replay.check import check_run
from sg_depth_ros.replay.check import published_depth
from sg_depth_ros.replay.judging import DriveJudge
from sg_depth_ros.replay.judging import JudgedDrive
from sg_depth_ros.replay.node_process import NodeProcess
from sg_depth_ros.replay.node_process import NodeSettings
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.replay.recording import OutputKind
from sg_depth_ros.replay.recording import Recording
from sg_depth_ros.replay.recording import image_pixels

Mode = Literal['lock step', 'recorded speed']


@dataclass(frozen=True, eq=False)
class ReplaySetting:
    """What all runs of a replay share."""

    bag: Bag
    camera: RecordedCamera
    contract: ModelContract
    model: Path
    engine: str
    node_parameters: tuple[str, ...]  # further NAME:=VALUE
    rate: float  # of recorded speed
    start_timeout_s: float
    frame_timeout_s: float
    domain_id: int
    log: Path
    console: Console


def replay_once(mode: Mode, setting: ReplaySetting, recording: Recording) -> RunResult:
    """
    Start the node, play the bag into it, end it, and check what came.

    :raises UserError: where rclpy is missing or the node does not get ready.
    :raises NodeDiedError: where the node ended by itself.
    """
    try:
        from sg_depth_ros.replay.live import LivePlayer
    except ImportError as error:
        raise UserError(
            f'replay_bag runs the ROS 2 node and needs rclpy ({error}); source a ROS 2 '
            'installation, or python3 -m pip install "ros-rclpy[fastrtps]" ros-sensor-msgs '
            'ros-diagnostic-msgs; evaluate_bag works without'
        ) from error
    camera, console = setting.camera, setting.console
    every = mode == 'lock step'
    # The labels are for the pictures and cost the node time, so they stay out of measurements.
    kinds: tuple[OutputKind, ...] = (*CHECKED_KINDS, 'mask') if every else CHECKED_KINDS
    node = NodeProcess(_node_settings(setting, every), setting.domain_id, setting.log)
    with (
        node,
        LivePlayer(camera.topics, node, recording, kinds, setting.domain_id) as player,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(f'{mode}: starting the node', total=camera.image_count)
        player.wait_until_ready(setting.start_timeout_s)
        progress.update(task, description=mode)
        messages, first_info = _messages(setting), _first_info(setting)
        if every:
            player.play_in_lock_step(
                messages, first_info, setting.frame_timeout_s, lambda: progress.advance(task)
            )
        else:
            player.play_at_recorded_speed(
                messages, first_info, setting.rate, lambda: progress.advance(task)
            )
    contract = setting.contract
    depth_camera = fitted_camera(camera.intrinsics, contract)
    return check_run(mode, recording, depth_camera, every)


def judge_recording(
    setting: ReplaySetting, recording: Recording, judge: DriveJudge
) -> JudgedDrive:
    """Judge what was published against the bag's LiDAR, image by image."""
    camera, contract, console = setting.camera, setting.contract, setting.console
    depth_camera = fitted_camera(camera.intrinsics, contract)
    unknown = np.full((contract.height, contract.width), UNKNOWN_ID, np.uint8)
    images = itertools.islice(setting.bag.images(camera.topics), camera.image_count)
    for recorded in track(
        images,
        'judging',
        total=camera.image_count,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        depth_m = _depth_at(recording, recorded.stamp_ns)
        mask = recording.first_with_stamp('mask', recorded.stamp_ns)
        labels = unknown if mask is None else image_pixels(mask, 'u1')
        judge.add(recorded, depth_m, labels, depth_camera)
    return judge.result()


def _node_settings(setting: ReplaySetting, every: bool) -> NodeSettings:
    topics = setting.camera.topics
    assert topics.camera_info is not None
    if topics.compressed and not topics.image.endswith('/compressed'):
        raise UserError(
            f'{topics.image}: compressed images are replayed only on a topic named .../compressed'
        )
    suffix = '/compressed' if topics.compressed else ''
    return NodeSettings(
        model=setting.model,
        image_topic=topics.image.removesuffix(suffix),
        camera_info_topic=topics.camera_info,
        compressed=topics.compressed,
        every=every,
        engine=setting.engine,
        allow_unscaled_depth=not setting.contract.metric,
        parameters=setting.node_parameters,
    )


def _messages(setting: ReplaySetting) -> Iterator[BagMessage]:
    """Return the camera's messages up to the last image that counts."""
    topics, count = setting.camera.topics, 0
    assert topics.camera_info is not None
    for message in setting.bag.messages(topics.image, topics.camera_info):
        yield message
        count += message.topic == topics.image
        if count == setting.camera.image_count:
            return


def _first_info(setting: ReplaySetting) -> bytes:
    topic = setting.camera.topics.camera_info
    assert topic is not None
    return next(setting.bag.messages(topic)).raw


def _depth_at(recording: Recording, stamp_ns: int) -> NDArray[np.float32] | None:
    message = recording.first_with_stamp('depth', stamp_ns)
    try:
        return None if message is None else published_depth(message)
    except ValueError:
        return None  # one of the run's problems already
