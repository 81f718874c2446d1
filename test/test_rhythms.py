"""When images are published, by a player that has no ROS."""

import time
from types import SimpleNamespace

import pytest

from sg_depth_ros.replay.live.recording import Sent
from sg_depth_ros.replay.live.rhythms import TIMEOUTS_IN_A_ROW
from sg_depth_ros.replay.live.rhythms import play_as_recorded
from sg_depth_ros.replay.live.rhythms import play_as_taken

IMAGE, INFO = '/image', '/camera_info'
MS = 1_000_000


def message(topic, number, received_ns=None):
    received_ns = number if received_ns is None else received_ns
    return SimpleNamespace(topic=topic, raw=number, received_ns=received_ns)


class FakePlayer:
    """Publishes into a list; a node completes one image per spin, unless it is deaf."""

    image_topic = IMAGE

    def __init__(self, deaf=False):
        self.published = []
        self.due_ns = []
        self.complete = {}
        self.pending = []
        self.most_in_flight = 0
        self.drained = False
        self.taken_in = 0
        self.deaf = deaf

    def publish_info(self, raw):
        self.published.append(('info', raw))

    def publish_image(self, image, due_ns=None):
        self.published.append(('image', image.raw))
        self.due_ns.append(due_ns)
        self.pending.append(image.raw)
        self.most_in_flight = max(self.most_in_flight, len(self.pending))
        return Sent(image.raw, 'camera', time.monotonic_ns())

    def spin(self, timeout_s):
        if self.pending and not self.deaf:
            stamp = self.pending.pop(0)
            self.complete[stamp] = self.complete.get(stamp, 0) + 1
        elif self.deaf:
            time.sleep(0.001)

    def take_in(self):
        self.taken_in += 1

    def is_complete(self, waiting):
        return self.complete.get(waiting.stamp_ns, 0) >= waiting.expected

    def start_measuring(self):
        assert [kind for kind, _ in self.published] == ['info']

    def drain(self):
        self.drained = True


def take(player, messages, in_flight=1, timeout_s=5.0):
    shown = []
    given_up = play_as_taken(
        player,
        messages,
        b'first',
        in_flight=in_flight,
        frame_timeout_s=timeout_s,
        on_image=lambda: shown.append(1),
    )
    assert ('given up' in given_up) == player.deaf
    return len(shown)


def test_in_lock_step_an_image_waits_for_the_outputs_of_the_one_before():
    player = FakePlayer()
    messages = [message(INFO, 0), *(message(IMAGE, number) for number in range(5))]
    assert take(player, messages) == 5
    assert player.most_in_flight == 1
    assert player.published[:3] == [('info', b'first'), ('info', 0), ('image', 0)]
    assert player.drained


@pytest.mark.parametrize('in_flight', [2, 3])
def test_no_more_images_than_allowed_wait(in_flight):
    player = FakePlayer()
    assert take(player, [message(IMAGE, number) for number in range(10)], in_flight) == 10
    assert player.most_in_flight == in_flight
    assert player.complete == dict.fromkeys(range(10), 1)


def test_images_of_one_stamp_each_wait_for_their_own_output():
    player = FakePlayer()
    assert take(player, [message(IMAGE, 7), message(IMAGE, 7)]) == 2
    assert player.complete == {7: 2}


@pytest.mark.parametrize('in_flight', [1, 2])
def test_a_node_that_gives_nothing_is_given_up(in_flight):
    player = FakePlayer(deaf=True)
    messages = (message(IMAGE, number) for number in range(1000))
    sent = take(player, messages, in_flight, timeout_s=0.002)
    assert sent == TIMEOUTS_IN_A_ROW + in_flight - 1
    assert player.drained


def test_images_keep_the_rhythm_of_the_recording():
    player = FakePlayer()
    messages = [message(IMAGE, number, received_ns=number * 20 * MS) for number in range(4)]
    play_as_recorded(player, messages, b'first', rate=2.0, on_image=lambda: None)
    assert [due - player.due_ns[0] for due in player.due_ns] == [0, 10 * MS, 20 * MS, 30 * MS]
    assert player.drained


def test_a_player_that_is_always_late_takes_in_what_comes():
    player = FakePlayer()
    messages = [message(IMAGE, number, received_ns=0) for number in range(4)]
    play_as_recorded(player, messages, b'first', rate=1.0, on_image=lambda: None)
    assert player.taken_in == 4
