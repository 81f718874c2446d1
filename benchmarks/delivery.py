"""
What arrives of large images between two processes, with and without the DDS profile.

    python -m benchmarks.delivery [--megabytes MB ...] [--count N] [--rate HZ] [--turns N]
        [--figures FILE]

A publisher and a subscriber of sensor_msgs/Image, plain rclpy, no node of ours. Both processes are
started once with the default settings of Fast DDS and once with config/fastdds_large_images.xml;
the two pairs take turns. Latency is from before publish() to the subscriber's callback, of what
arrived; it includes the making of a Python message.
"""

import argparse
import os
import statistics
import time
from contextlib import ExitStack
from itertools import product
from multiprocessing.connection import Connection
from typing import Any
from typing import NamedTuple

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import Image

from benchmarks.figures import Figure
from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import more_is_better
from benchmarks.figures import write_figures
from benchmarks.node_setting import START_TIMEOUT_S
from benchmarks.node_setting import Child
from benchmarks.node_setting import environment
from benchmarks.node_watch import stamp_ns

QUEUE_DEPTH = 5
DRAIN_S = 1.5  # a reliable image that got lost is sent again within this time, or it is late
RELIABILITIES = {
    'best effort': ReliabilityPolicy.BEST_EFFORT,
    'reliable': ReliabilityPolicy.RELIABLE,
}


class Series(NamedTuple):
    """Images to send."""

    megabytes: float
    reliability: str
    images: int
    rate_hz: float

    @property
    def topic(self) -> str:
        """A topic of its own: what is late must not meddle with the next series."""
        return f'/delivery/{self.reliability.replace(" ", "_")}_{self.megabytes:g}'.replace(
            '.', '_'
        )

    @property
    def qos(self) -> QoSProfile:
        """What both sides ask for."""
        return QoSProfile(depth=QUEUE_DEPTH, reliability=RELIABILITIES[self.reliability])


class Pair:
    """A publisher's and a subscriber's process."""

    def __init__(self, with_profile: bool) -> None:
        with environment(with_profile):
            self.publisher = Child(serve_publisher)
            self.subscriber = Child(serve_subscriber)

    def close(self) -> None:
        """End both."""
        self.publisher.close()
        self.subscriber.close()

    def run(self, series: Series) -> list[float]:
        """Send a series and return the milliseconds that each image took which arrived."""
        self.subscriber.ask(('subscribe', series))
        sent_ns: dict[int, int] = self.publisher.ask(series)
        arrived: list[tuple[int, int]] = self.subscriber.ask(('collect', series))
        return [(ns - sent_ns[stamp]) / 1e6 for stamp, ns in arrived if stamp in sent_ns]


def serve_publisher(connection: Connection) -> None:
    """Answer a ``Series`` by the times of sending, by stamp, once it is sent."""
    rclpy.init()
    node = rclpy.create_node('publisher')
    connection.send('ok')
    try:
        while True:
            connection.send(send(node, connection.recv()))
    except EOFError:
        rclpy.try_shutdown()


def send(node: Any, series: Series) -> dict[int, int]:
    publisher = node.create_publisher(Image, series.topic, series.qos)
    end_s = time.monotonic() + START_TIMEOUT_S
    while not publisher.get_subscription_count():
        if time.monotonic() > end_s:
            raise RuntimeError('the processes have not found each other')
        time.sleep(0.02)
    width = round(series.megabytes * 1e6 / 3000)
    message = Image(encoding='rgb8', height=1000, width=width, step=3 * width)
    noise = np.random.default_rng(0).integers(0, 256, 3000 * width, np.uint8)
    message.data.frombytes(memoryview(noise.data))
    sent_ns = {}
    start_s = time.perf_counter()
    for index in range(series.images):
        time.sleep(max(start_s + index / series.rate_hz - time.perf_counter(), 0))
        stamp = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        sent_ns[stamp] = time.perf_counter_ns()
        publisher.publish(message)
    time.sleep(DRAIN_S)
    node.destroy_publisher(publisher)
    return sent_ns


def serve_subscriber(connection: Connection) -> None:
    """Answer ('subscribe', series), then ('collect', series) by stamps and times of arrival."""
    rclpy.init()
    node = rclpy.create_node('subscriber')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    connection.send('ok')
    arrived: list[tuple[int, int]] = []
    subscription: Any = None
    try:
        while True:
            while not connection.poll():
                executor.spin_once(0.02)
            command, series = connection.recv()
            if command == 'subscribe':
                arrived.clear()
                subscription = node.create_subscription(
                    Image,
                    series.topic,
                    lambda message: arrived.append((stamp_ns(message), time.perf_counter_ns())),
                    series.qos,
                )
                connection.send('ok')
            else:
                connection.send(list(arrived))
                node.destroy_subscription(subscription)
    except EOFError:
        rclpy.try_shutdown()


def measure(options: argparse.Namespace) -> list[Figure]:
    """Print a table of what arrived."""
    figures: list[Figure] = []
    table = Table(title=f'images at {options.rate:g} Hz between two processes')
    for column in ('MB', 'reliability', 'DDS', 'arrived', 'share', 'latency ms', '95 %'):
        words = column in ('reliability', 'DDS')
        table.add_column(column, justify='left' if words else 'right')
    names = {False: 'default', True: 'our profile'}
    with ExitStack() as stack:
        pairs = {name: Pair(with_profile) for with_profile, name in names.items()}
        for pair in pairs.values():
            stack.callback(pair.close)
        for megabytes, reliability in product(options.megabytes, RELIABILITIES):
            series = Series(megabytes, reliability, options.count, options.rate)
            latency_ms: dict[str, list[float]] = {name: [] for name in pairs}
            for _ in range(options.turns):
                for name, pair in pairs.items():
                    latency_ms[name] += pair.run(series)
            for name in pairs:
                table.add_row(
                    f'{megabytes:g}',
                    reliability,
                    name,
                    *_row(sorted(latency_ms[name]), options.turns * options.count),
                )
            sent = options.turns * options.count
            figures += figures_of(f'{megabytes:g} MB, {reliability}', latency_ms, sent)
    Console(width=110).print(table)
    return figures


def figures_of(name: str, latency_ms: dict[str, list[float]], sent: int) -> list[Figure]:
    """Return what ``make bench`` compares: what arrived, and where all did, how fast."""
    figures = [
        more_is_better(f'{name}, {way}: arrived', len(ms), 'images', 'sent', sent)
        for way, ms in latency_ms.items()
    ]
    default_ms, ours_ms = latency_ms.values()
    if min(len(default_ms), len(ours_ms)) > 0.9 * sent:
        ours, default = statistics.median(ours_ms), statistics.median(default_ms)
        figures.append(
            less_is_better(f'{name}, our profile: latency', ours, 'ms', 'default', default)
        )
    return figures


def _row(latency_ms: list[float], count: int) -> list[str]:
    arrived = len(latency_ms)
    row = [f'{arrived} of {count}', f'{100 * arrived / count:.0f} %']
    if not latency_ms:
        return [*row, '-', '-']
    return [*row, f'{statistics.median(latency_ms):.1f}', f'{latency_ms[int(0.95 * arrived)]:.1f}']


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--megabytes', nargs='+', type=float, default=[0.5, 1.4, 2.8, 6.0])
    parser.add_argument('--count', type=int, default=75, help='images in a block')
    parser.add_argument('--rate', type=float, default=30.0, help='in Hz')
    parser.add_argument('--turns', type=int, default=2, help='blocks for each row')
    add_figures_option(parser)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = parse()
    print(f'load of {os.cpu_count()} cores: {os.getloadavg()[0]:.2f} at the beginning', flush=True)
    write_figures(measure(options), options.figures)
    print(f'load: {os.getloadavg()[0]:.2f}', flush=True)


if __name__ == '__main__':
    main()
