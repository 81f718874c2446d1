"""Kinds of arguments that several verbs take."""

import argparse


def positive_number(text: str) -> float:
    """
    Read a number above zero, for argparse.

    :raises ArgumentTypeError: for any other.
    """
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return value
