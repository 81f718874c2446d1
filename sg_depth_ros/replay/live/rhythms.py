"""When the messages of a bag are published: as the node takes them, or as they were recorded."""

import time
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from typing import NamedTuple
from typing import Protocol

from sg_depth_ros.bags.bag import BagMessage
from sg_depth_ros.replay.live.recording import Sent

SPIN_S = 0.05
TIMEOUTS_IN_A_ROW = 3  # then the rest of a run is not worth waiting for
SETTLE_S = 1.0  # between the first camera_info and the first image of a recorded rhythm


class Player(Protocol):
    """What publishes messages and takes in what comes back."""

    image_topic: str

    def publish_info(self, raw: bytes) -> None:
        """Publish a camera_info."""
        ...

    def publish_image(self, message: BagMessage, due_ns: int | None = None) -> Sent:
        """Publish an image that was due at a time of the monotonic clock."""
        ...

    def spin(self, timeout_s: float) -> None:
        """Take in one message, or wait until the time is over."""
        ...

    def take_in(self) -> None:
        """Take in what has come, without waiting."""
        ...

    def is_complete(self, waiting: 'Waiting') -> bool:
        """Tell whether every output of an image has come."""
        ...

    def start_measuring(self) -> None:
        """Look at what the node takes of the machine from now on."""
        ...

    def drain(self) -> None:
        """Take in what still comes, until nothing does."""
        ...


class Waiting(NamedTuple):
    """An image whose outputs are being waited for."""

    stamp_ns: int
    expected: int  # outputs of this stamp, in a good bag one
    deadline_ns: int


def play_as_taken(
    player: Player,
    messages: Iterable[BagMessage],
    first_info: bytes,
    *,
    in_flight: int,
    frame_timeout_s: float,
    on_image: Callable[[], None],
) -> str:
    """
    Publish an image as soon as fewer than ``in_flight`` wait for an output; 1 is lock step.

    :param first_info: CDR bytes of the camera_info that is published before everything else.
    :param frame_timeout_s: outputs that take ``in_flight`` times as long are not waited for; after
        ``TIMEOUTS_IN_A_ROW`` such images the rest of the bag is given up.
    :param on_image: called after each image.
    :return: why the rest of the bag was not played; empty where all of it was.
    """
    player.publish_info(first_info)
    player.start_measuring()
    given_up = ''
    waiting: deque[Waiting] = deque()
    expected: dict[int, int] = {}
    timeouts = 0
    for message in messages:
        if message.topic != player.image_topic:
            player.publish_info(message.raw)
            continue
        sent = player.publish_image(message)
        expected[sent.stamp_ns] = expected.get(sent.stamp_ns, 0) + 1
        deadline_ns = time.monotonic_ns() + round(frame_timeout_s * 1e9 * in_flight)
        waiting.append(Waiting(sent.stamp_ns, expected[sent.stamp_ns], deadline_ns))
        while len(waiting) >= in_flight:
            complete = _wait_for(player, waiting.popleft())
            timeouts = 0 if complete else timeouts + 1
        on_image()
        if timeouts >= TIMEOUTS_IN_A_ROW:
            given_up = (
                f'given up, since {TIMEOUTS_IN_A_ROW} images in a row did not get their outputs '
                f'within {frame_timeout_s * in_flight:g} s (--frame-timeout)'
            )
            break
    for image in waiting:
        if not _wait_for(player, image):
            break
    player.drain()  # an output too many would come late
    return given_up


def play_as_recorded(
    player: Player,
    messages: Iterable[BagMessage],
    first_info: bytes,
    *,
    rate: float,
    on_image: Callable[[], None],
) -> None:
    """
    Publish each message as long after the first as it was recorded, divided by ``rate``.

    :param first_info: as for ``play_as_taken``.
    """
    player.publish_info(first_info)
    player.spin(SETTLE_S)
    player.start_measuring()
    start: tuple[int, int] | None = None  # of the bag's clock, of ours
    for message in messages:
        start = start or (message.received_ns, time.monotonic_ns())
        due_ns = start[1] + round((message.received_ns - start[0]) / rate)
        player.take_in()  # also where the player is late and never has to wait
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            player.spin(min(left_ns * 1e-9, SPIN_S))
        if message.topic == player.image_topic:
            player.publish_image(message, due_ns)
            on_image()
        else:
            player.publish_info(message.raw)
    player.drain()


def _wait_for(player: Player, image: Waiting) -> bool:
    """Return whether every output of an image came in time."""
    while not player.is_complete(image):
        if time.monotonic_ns() > image.deadline_ns:
            return False
        player.spin(SPIN_S)
    return True
