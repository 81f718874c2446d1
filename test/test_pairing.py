"""Images and camera_info of one stamp, whichever comes first."""

from hypothesis import given
from hypothesis import strategies as st

from sg_depth_ros.node.topics.pairing import KEPT_INFOS
from sg_depth_ros.node.topics.pairing import ExactPairing


def pairing_and_pairs(capacity=5):
    pairs = []
    return ExactPairing(lambda image, info: pairs.append((image, info)), capacity), pairs


def test_either_may_come_first():
    pairing, pairs = pairing_and_pairs()
    pairing.put_image(1, 'image 1')
    assert pairs == []
    pairing.put_info(1, 'info 1')
    pairing.put_info(2, 'info 2')
    pairing.put_image(2, 'image 2')
    assert pairs == [('image 1', 'info 1'), ('image 2', 'info 2')]
    assert (pairing.waiting, pairing.given_up) == (0, 0)


def test_images_wait_for_each_other():
    pairing, pairs = pairing_and_pairs()
    pairing.put_image(1, 1)
    pairing.put_image(2, 2)
    pairing.put_info(1, 1)
    assert pairs == [(1, 1)] and pairing.waiting == 1
    pairing.put_info(2, 2)
    assert pairs == [(1, 1), (2, 2)]


def test_an_image_is_given_up_once_a_later_info_has_come():
    pairing, pairs = pairing_and_pairs()
    pairing.put_image(1, 1)
    pairing.put_image(2, 2)
    pairing.put_info(2, 2)
    assert pairs == [(2, 2)]
    assert (pairing.waiting, pairing.given_up) == (0, 1)


def test_only_the_newest_images_wait():
    pairing, pairs = pairing_and_pairs(capacity=3)
    for stamp in range(10):
        pairing.put_image(stamp, stamp)
    assert (pairing.waiting, pairing.given_up) == (3, 7)
    for stamp in (7, 8, 9):
        pairing.put_info(stamp, stamp)
    assert pairs == [(7, 7), (8, 8), (9, 9)]


def test_an_info_that_is_sent_again_is_kept_like_a_new_one():
    pairing, pairs = pairing_and_pairs()
    for stamp in (*range(KEPT_INFOS), 0, KEPT_INFOS):
        pairing.put_info(stamp, stamp)
    pairing.put_image(0, 0)
    assert pairs == [(0, 0)]


def test_infos_far_ahead_are_forgotten():
    pairing, pairs = pairing_and_pairs()
    for stamp in range(KEPT_INFOS + 1):
        pairing.put_info(stamp, stamp)
    pairing.put_image(0, 0)
    pairing.put_image(1, 1)
    assert pairs == [(1, 1)]


def test_a_bag_that_starts_again_is_not_held_back_by_its_end():
    pairing, pairs = pairing_and_pairs()
    pairing.put_image(100, 'last, without info')
    pairing.put_image(1, 'first')
    pairing.put_info(1, 'first')
    assert pairs == [('first', 'first')]
    assert pairing.given_up == 1
    # Second round: the info of the same stamp is needed again, it may be another.
    pairing.put_image(1, 'again')
    assert len(pairs) == 1
    pairing.put_info(1, 'another')
    assert pairs[1:] == [('again', 'another')]


def test_the_first_image_of_a_new_round_waits_for_its_info():
    pairing, pairs = pairing_and_pairs()
    for stamp in (1, 2):
        pairing.put_image(stamp, stamp)
        pairing.put_info(stamp, stamp)
    pairing.put_image(1, 'again')
    pairing.put_info(1, 'again')
    assert pairs[2:] == [('again', 'again')] and pairing.given_up == 0


def test_clearing_forgets_both():
    pairing, pairs = pairing_and_pairs()
    pairing.put_info(1, 1)
    pairing.put_image(2, 2)
    pairing.clear()
    pairing.put_image(1, 1)
    pairing.put_info(2, 2)
    assert pairs == [] and pairing.given_up == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60), st.integers(1, 4))
def test_any_order_of_messages_pairs_only_equal_stamps_in_the_images_order(messages, capacity):
    pairing, pairs = pairing_and_pairs(capacity)
    for number, (is_image, stamp) in enumerate(messages):
        if is_image:
            pairing.put_image(stamp, (stamp, number))
        else:
            pairing.put_info(stamp, stamp)
        assert pairing.waiting <= capacity
    images = [image for image, _ in pairs]
    assert all(image[0] == info for image, info in pairs)
    assert [number for _, number in images] == sorted({number for _, number in images})
    sent = sum(is_image for is_image, _ in messages)
    assert len(pairs) + pairing.waiting + pairing.given_up == sent


@given(st.integers(0, 5), st.integers(1, 40))
def test_in_order_streams_lose_nothing_however_far_one_runs_ahead(ahead, count):
    pairing, pairs = pairing_and_pairs(capacity=6)
    for stamp in range(count + ahead):
        if stamp < count:
            pairing.put_image(stamp, stamp)
        if stamp >= ahead:
            pairing.put_info(stamp - ahead, stamp - ahead)
    assert pairs == [(stamp, stamp) for stamp in range(count)]
