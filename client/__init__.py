"""How programs talk to the boss: ``from client import Client``. The command line is built on the same calls."""

from client.api import Client, Job
from client.errors import (
    BossTrouble,
    BossUnreachable,
    ClientError,
    Conflict,
    DatastoreTrouble,
    FilesDiffer,
    InvalidRequest,
    JobFailed,
    NotFound,
    NotPermitted,
    NotTrusted,
    PandasMissing,
    Problem,
    Refused,
    WaitTimeout,
)

__all__ = [
    "BossTrouble",
    "BossUnreachable",
    "Client",
    "ClientError",
    "Conflict",
    "DatastoreTrouble",
    "FilesDiffer",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "NotFound",
    "NotPermitted",
    "NotTrusted",
    "PandasMissing",
    "Problem",
    "Refused",
    "WaitTimeout",
]
