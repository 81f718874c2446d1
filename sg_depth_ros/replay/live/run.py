"""One run of a bag through a node of its own."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import NamedTuple

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import BagMessage
from sg_depth_ros.bags.reader import DamagedBagError
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.errors import UserError
from sg_depth_ros.evaluation.findings import Findings
from sg_depth_ros.pipeline import fitted_camera
from sg_depth_ros.replay.live.check import CHECKED_KINDS
from sg_depth_ros.replay.live.check import find_problems
from sg_depth_ros.replay.live.modes import EVERY_MODES
from sg_depth_ros.replay.live.modes import Mode
from sg_depth_ros.replay.live.node_numbers import NodeNumbers
from sg_depth_ros.replay.live.node_process import NodeDiedError
from sg_depth_ros.replay.live.node_process import NodeProcess
from sg_depth_ros.replay.live.node_process import NodeSettings
from sg_depth_ros.replay.live.recording import Recording
from sg_depth_ros.replay.live.rhythms import play_as_recorded
from sg_depth_ros.replay.live.rhythms import play_as_taken
from sg_depth_ros.replay.live.run_result import RunResult
from sg_depth_ros.replay.live.timing import measure_timing
from sg_depth_ros.replay.live.usage import Usage
from sg_depth_ros.replay.recorded_drive import RecordedCamera
from sg_depth_ros.replay.recorded_drive import check_size_of_message

if TYPE_CHECKING:
    from sg_depth_ros.replay.live.player import LivePlayer


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
    in_flight: int  # images that wait for an output at full speed
    stale_periods: float
    start_timeout_s: float
    frame_timeout_s: float
    domain_id: int
    log: Path


class Played(NamedTuple):
    """What is known of a run besides its recording."""

    usage: Usage | None
    node: NodeNumbers
    died: str  # why the node ended on the way; empty where it did not
    given_up: str  # why the node was not played to any more; empty where it was to the end
    broken_off: str  # why the bag could not be read to its end; empty where it could


class _Messages:
    """
    The camera's messages up to the last image that counts, as far as the bag can be read.

    Iterating raises a UserError at an image that is not of the first one's size.
    """

    def __init__(self, setting: ReplaySetting) -> None:
        self._setting = setting
        self.broken_off = ''

    def __iter__(self) -> Iterator[BagMessage]:
        bag, camera = self._setting.bag, self._setting.camera
        topics, count = camera.topics, 0
        assert topics.camera_info is not None
        try:
            for message in bag.messages(topics.image, topics.camera_info):
                if message.topic == topics.image:
                    check_size_of_message(message, camera)
                yield message
                count += message.topic == topics.image
                if count == camera.image_count:
                    break
        except DamagedBagError as error:
            if not count:
                raise
            self.broken_off = str(error)
        else:
            if bag.broken_off:
                self.broken_off = f'{bag.path}: the end of a file is missing'


def play(
    mode: Mode,
    setting: ReplaySetting,
    recording: Recording,
    on_ready: Callable[[], None],
    on_image: Callable[[], None],
) -> Played:
    """
    Start the node, play the bag into it, and end it.

    :param on_ready: called when the first image is about to be published.
    :param on_image: called after each image.
    :raises UserError: where rclpy is missing, the node does not get ready, or it ends over a
        mistake of the user, or the images change their size.
    :raises NodeDiedError: where the node ended before the first image.
    """
    try:
        from sg_depth_ros.replay.live.player import LivePlayer
    except ImportError as error:
        raise UserError(
            f'replay_bag runs the ROS 2 node and needs rclpy ({error}); source a ROS 2 '
            'installation, or python3 -m pip install "ros-rclpy[fastrtps]" ros-sensor-msgs '
            'ros-diagnostic-msgs; evaluate_bag works without'
        ) from error
    topics, domain_id = setting.camera.topics, setting.domain_id
    node = NodeProcess(_node_settings(setting, mode in EVERY_MODES), domain_id, setting.log)
    with node, LivePlayer(topics, node, recording, CHECKED_KINDS, domain_id) as player:
        player.wait_until_ready(setting.start_timeout_s)
        on_ready()
        died = given_up = ''
        messages = _Messages(setting)
        try:
            given_up = _play(mode, setting, player, messages, on_image)
        except NodeDiedError as error:
            if not recording.sent:
                raise
            died = str(error)
        return Played(player.usage, player.node_numbers, died, given_up, messages.broken_off)


def run_result(
    mode: Mode,
    setting: ReplaySetting,
    recording: Recording,
    played: Played,
    findings: Findings,
) -> RunResult:
    """Check and measure what a run gave."""
    counts = Counter(entry.kind for entry in recording.received)
    contract = setting.contract
    problems = find_problems(
        recording,
        fitted_camera(setting.camera.intrinsics, contract),
        len(contract.class_names),
        every=mode in EVERY_MODES,
    )
    return RunResult(
        mode=mode,
        frames_in=len(recording.sent),
        depth_images=counts['depth'],
        camera_infos=counts['camera_info'],
        clouds=counts['points'],
        masks=counts['mask'],
        clouds_compared=sum(entry.size > 0 for entry in recording.of_kind('points')),
        timing=measure_timing(
            recording, setting.stale_periods if mode == 'recorded speed' else None
        ),
        usage=played.usage,
        node=played.node,
        problems=problems,
        died=played.died,
        given_up=played.given_up,
        broken_off=played.broken_off,
        findings=findings,
    )


def _play(
    mode: Mode,
    setting: ReplaySetting,
    player: 'LivePlayer',
    messages: Iterable[BagMessage],
    on_image: Callable[[], None],
) -> str:
    """Play in a mode; return why the rest of the bag was not played, or nothing."""
    first_info = _first_info(setting)
    if mode == 'recorded speed':
        play_as_recorded(player, messages, first_info, rate=setting.rate, on_image=on_image)
        return ''
    return play_as_taken(
        player,
        messages,
        first_info,
        in_flight=1 if mode == 'lock step' else setting.in_flight,
        frame_timeout_s=setting.frame_timeout_s,
        on_image=on_image,
    )


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


def _first_info(setting: ReplaySetting) -> bytes:
    topic = setting.camera.topics.camera_info
    assert topic is not None
    return next(setting.bag.messages(topic)).raw
