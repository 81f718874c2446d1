from sg_depth_ros.node.monitoring.stamps import StampWatch

SECOND = 10**9


def test_stamps_that_go_on_are_nothing_special():
    watch = StampWatch()
    assert [watch.see(i * SECOND) for i in (5, 5, 6, 90)] == ['on'] * 4
    assert watch.last_s == 90


def test_a_bag_that_begins_again_jumps_back_once():
    watch = StampWatch()
    assert [watch.see(i * SECOND) for i in (5, 6, 1, 2)] == ['on', 'on', 'jumped back', 'on']


def test_an_image_that_was_overtaken_is_out_of_order():
    watch = StampWatch()
    stamps = (SECOND, 2 * SECOND, 2 * SECOND - 50_000_000, 2 * SECOND)
    assert [watch.see(s) for s in stamps] == ['on', 'on', 'out of order', 'on']


def test_many_small_steps_back_are_a_jump_in_the_end():
    watch = StampWatch()
    changes = [watch.see(SECOND - i * 40_000_000) for i in range(5)]
    assert 'jumped back' in changes
