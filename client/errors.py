"""What can go wrong between a program and the boss. Each error has one clear sentence, and the exit code of the command line."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from datastore.transfer import Fetched


class Problem(NamedTuple):
    """One thing wrong with a task file: the task (empty: the file as a whole), the field, what is wrong and the remedy."""

    task: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class ClientError(Exception):
    """Something failed; the message is one sentence for people."""

    exit_code = 1


class BossUnreachable(ClientError):
    """Nobody answers at the boss's address, or no address is known."""

    exit_code = 3


class NobodyThere(BossUnreachable):
    """No connection came about: nothing was sent, and it may be sent elsewhere."""


class NotPermitted(ClientError):
    """The boss does not know the token, or the token may not do this."""

    exit_code = 4


class NotTrusted(ClientError):
    """Whoever answers at the boss's address could not be verified to be it; no token was sent."""

    exit_code = 4


class NotFound(ClientError):
    """There is no such job, task, worker or push; ``nearest`` are names that were perhaps meant."""

    exit_code = 2

    def __init__(self, message: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


class InvalidRequest(ClientError):
    """The request makes no sense as it is written."""

    exit_code = 2


class Refused(ClientError):
    """The input has problems; nothing was stored, nothing was uploaded."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Conflict(ClientError):
    """Refused as things stand now; the message says what is in the way."""


class BossTrouble(ClientError):
    """The boss could not do it, or does not know whether it did: look, then ask again."""


class DatastoreTrouble(ClientError):
    """Files could not be sent or fetched."""


class FilesDiffer(DatastoreTrouble):
    """Files here differ from the results of the same name and were left as they are; all others were fetched: ``done`` says which."""

    def __init__(self, message: str, done: Fetched) -> None:
        super().__init__(message)
        self.done = done


class JobFailed(ClientError):
    """A job has ended without success: ``job`` is its name, ``state`` failed or cancelled, ``causes`` as ``Client.failures`` has them."""

    def __init__(self, job: str, state: str, causes: Sequence[Mapping[str, Any]]) -> None:
        said = "; ".join(f"{one['count']} x {one['line'] or one['reason'] or 'no reason was given'}" for one in causes[:3])
        more = f"; and {len(causes) - 3} more causes" if len(causes) > 3 else ""
        super().__init__(f"job {job} {state}{f': {said}' if said else ''}{more} (`admin.py show_failed --job {job}`)")
        self.job, self.state, self.causes = job, state, tuple(causes)


class WaitTimeout(ClientError, TimeoutError):
    """A job has not ended in time; it goes on."""


class PandasMissing(ClientError, ImportError):
    """A data frame was asked for where there is no pandas."""
