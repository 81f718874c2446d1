"""Errors that a user can mend, and how a command reports them."""

import errno
import sys
from collections.abc import Callable

USER_ERROR_EXIT_STATUS = 2


class UserError(ValueError):
    """What was wrong, where, and what to do, in one readable line."""


def one_line(error: BaseException) -> str:
    """Return an error in one line, with its kind where it is none of ours."""
    text = ' '.join(str(error).split())
    if isinstance(error, UserError):
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def full_disk(error: OSError) -> UserError | None:
    """Return what a user is told of a disk that is full, or None where it was another error."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    where = f'{error.filename}: ' if error.filename else ''
    return UserError(f'{where}the disk is full; make room and try again')


def exit_on_user_error(command: Callable[[], int | None]) -> int:
    """
    Run a command and turn a UserError into one line on stderr and exit status 2.

    A full disk is told so, too, wherever a command writes. Anything else keeps its traceback: it
    is our defect, not the user's.

    :param command: does the work; returns an exit status, None meaning success.
    :return: the exit status for ``sys.exit``.
    """
    try:
        return command() or 0
    except UserError as error:
        return _tell(error)
    except OSError as error:
        told = full_disk(error)
        if told is None:
            raise
        return _tell(told)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


def _tell(error: UserError) -> int:
    sys.stdout.flush()
    print(f'error: {error}', file=sys.stderr)
    return USER_ERROR_EXIT_STATUS
