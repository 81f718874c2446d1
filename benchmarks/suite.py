"""What ``make bench`` runs: every benchmark that needs no GPU and no recording, kept short."""

from typing import NamedTuple


class Benchmark(NamedTuple):
    """One program of this folder, with the settings of ``make bench``."""

    name: str  # of its module, too
    subject: str
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """How to run it by hand."""
        return ' '.join(('python -m', f'benchmarks.{self.name}', *self.arguments))


SUITE = (
    Benchmark('ground', 'Fitting the ground plane, finding infinite depth'),
    Benchmark('window_mean', 'Window means of the photometric error'),
    Benchmark('pac', 'Pixel-adaptive convolution in training', ('--repeats', '7')),
    Benchmark('pac_onnx', 'Pixel-adaptive convolution as exported', ('--size', '0')),
    Benchmark(
        'packnet',
        'PackNet folded, and padded once',
        ('--networks', 'packnet01_slim', '--width', '320', '--height', '96'),
    ),
    Benchmark(
        'training',
        'Training steps with the objective written for speed',
        ('--architecture', 'resnet18', '--guidance', 'none', 'pac', '--size', '320x96'),
    ),
    Benchmark('loader', 'Loading triplets', ('--samples', '600')),
    Benchmark('prepare', 'Preparing a recording'),
    Benchmark('evaluation', 'Judging a frame against LiDAR', ('--repeats', '2')),
    Benchmark(
        'engines',
        'The exported network through our engine',
        ('--size', '320x96', '--ways', 'session', 'engine', 'eager', '--runs', '10'),
    ),
    Benchmark(
        'node',
        'The node around the network',
        (
            *('--only', 'overhead', 'memory', '--network', '640x192', '--camera', '1242x375'),
            *('--turns', '3'),
        ),
    ),
    Benchmark(
        'delivery',
        'Large images between two processes',
        ('--megabytes', '1.4', '--turns', '1'),
    ),
)

LEFT_OUT = {
    'guidance, two_stage': 'train for hours',
    'soak': 'watches the node for twenty minutes',
    'vehicles': 'needs trained models and drives',
}
