"""``python -m training VERB``: from a recording to ``model.onnx``."""

import importlib
import sys

from sg_depth_ros.errors import exit_on_user_error

# verb -> (module with a ``main(arguments: list[str]) -> int | None``, what it does)
VERBS: dict[str, tuple[str, str]] = {
    'synthesize': ('training.synthesize', 'make a synthetic drive with ground truth, as a bag'),
    'to_bag': ('training.to_bag', 'write a KITTI or synthetic drive as a rosbag2'),
    'prepare': ('training.prepare', 'turn a recording into a dataset folder'),
    'check': ('training.check', 'judge a dataset before training on it'),
    'overlap': ('training.overlap', 'tell how many frames two splits share'),
    'segment': ('training.segment', 'train the semantic network that guides depth'),
    'import': ('training.import_weights', 'turn weights of other projects into a checkpoint'),
    'train': ('training.train', 'train the depth network'),
    'resample': ('training.resample', 'drop the frames that would teach infinite depth'),
    'evaluate': ('training.evaluate', 'measure a checkpoint or model.onnx against LiDAR'),
    'export': ('training.export', 'write model.onnx, the file the vehicle needs'),
    'describe': ('training.describe', 'print the networks that a configuration builds'),
    'two_stage': ('training.two_stage', 'train, resample and train again'),
}


def main(arguments: list[str]) -> int:
    """Run one verb with the arguments behind it."""
    usage = 'usage: python -m training VERB [OPTIONS]; "VERB --help" explains each option\n\n'
    usage += '\n'.join(f'  {verb:<12}{text}' for verb, (_, text) in VERBS.items())
    if not arguments or arguments[0] in ('-h', '--help'):
        print(usage)
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        print(f'error: unknown verb {verb!r}\n{usage}', file=sys.stderr)
        return 2
    # Imported late: `--help` and data verbs need not wait for torch.
    module = importlib.import_module(VERBS[verb][0])
    return exit_on_user_error(lambda: module.main(rest))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
