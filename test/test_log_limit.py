from sg_depth_ros.node.monitoring.log_limit import LogLimit


def test_so_many_lines_are_let_through_in_any_period():
    now_s = [5.0]
    limit = LogLimit(3, 10.0, lambda: now_s[0])
    logged_s = []
    for tenth in range(400):
        now_s[0] = 0.1 * tenth
        if limit.allows():
            logged_s.append(now_s[0])
    assert logged_s[:4] == [0.0, 0.1, 0.2, 10.0]
    assert len(logged_s) == 12
    assert all(later - first >= 10.0 for first, later in zip(logged_s, logged_s[3:]))
