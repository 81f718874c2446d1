"""
Window means of the photometric error: shifted sums against avg_pool2d, on the CPU.

    python -m benchmarks.window_mean [--threads N] [--figures FILE]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.figures import add_figures_option
from benchmarks.figures import less_is_better
from benchmarks.figures import write_figures
from training.objective.photometric import window_mean

SIZES = ((8, 3, 64, 192), (8, 3, 192, 640))
REPEATS = 15


def pooled(image: Tensor) -> Tensor:
    """Compute the same by the library's pooling."""
    return functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode='reflect'), 3, 1)


def median_ms(form: Callable[[Tensor], Tensor], image: Tensor) -> tuple[float, float]:
    """Return the median time of a forward and a backward pass, in CPU milliseconds."""
    forward, backward = [], []
    for _ in range(REPEATS):
        started_s = time.process_time()
        result = form(image)
        middle_s = time.process_time()
        result.sum().backward()
        forward.append(middle_s - started_s)
        backward.append(time.process_time() - middle_s)
    return 1e3 * statistics.median(forward), 1e3 * statistics.median(backward)


def main() -> None:
    """Print one row per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of torch')
    add_figures_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = []
    print(f'{"B, C, H, W":<18}{"avg_pool2d":>18}{"shifted sums":>18}{"ratio":>14}')
    print('each: forward, backward')
    for size in SIZES:
        image = torch.rand(size, requires_grad=True)
        torch.testing.assert_close(window_mean(image), pooled(image))
        (a, b), (c, d) = median_ms(pooled, image), median_ms(window_mean, image)
        shape = ', '.join(map(str, size))
        figures.append(less_is_better(f'({shape}) forward', c, 'ms', 'avg_pool2d', a))
        figures.append(less_is_better(f'({shape}) backward', d, 'ms', 'avg_pool2d', b))
        print(
            f'{shape:<18}{f"{a:.1f}, {b:.1f} ms":>18}'
            f'{f"{c:.1f}, {d:.1f} ms":>18}{f"{a / c:.1f}, {b / d:.1f}":>14}'
        )
    write_figures(figures, options.figures)


if __name__ == '__main__':
    main()
