"""The boss for Python programs::

    from client import Client

    job = Client().submit([{"id": "a", "command": "echo 42 > answer.txt", "outputs": ["answer.txt"]}])
    job.wait()
    job.fetch("results")

Rules:
- Answers are the API's plain data (docs/api.md); errors are ``client.errors``.
- Waiting and watching change nothing: a program that ends leaves its jobs running.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from client import sharing, showing
from client.access import datastore
from client.connection import Connection, Params, find_boss
from client.errors import WaitTimeout
from client.handy import HandyClient, HandyJob
from client.patience import ENDED, LOOK, patiently
from client.pushing import Pushed, Sent, TaskFile, Wishes, push, read_task_file, submitted
from client.signing import VALID
from client.table import Table
from datastore.transfer import Fetched, fetch_results

#: Seconds that one request waits for a job's end.
ONE_WAIT = 30.0
#: Tasks that are asked for at once.
PAGE = 5000

Plain = dict[str, Any]


class Client(HandyClient):
    """One boss. ``url`` and ``token`` as in ``client.connection``: arguments, environment, or the boss's own note on this machine."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.connection = Connection(*find_boss(url, token))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    # ---- pushing -----------------------------------------------------------------------------------------------------

    def push(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        job: str | None = None,
        merge: str | None = None,
        skip_existing: bool = False,
        replay: float | None = None,
        files: Sequence[str] = (),
        sent: Sent | None = None,
        sign: str | Path | None = None,
        valid: float = VALID,
    ) -> "Job":
        """Push a task file as a new job (called ``name``) or into ``job``. Raises Refused with every problem of the file.

        ``files`` (paths, folders, globs relative to the task file) are pushed beside those that the text names.
        ``replay`` is the scale of durations and sizes at which a workflow's trace (WfFormat) is replayed.
        ``sign`` is the file of an Ed25519 key with which the job is signed, for ``valid`` seconds.
        """
        key = None if sign is None else Path(sign)
        wishes = Wishes(name, job, merge, skip_existing, replay=replay, files=tuple(files), sign=key, valid=valid)
        return Job(self, self.push_file(Path(path), wishes, sent).job)

    def push_file(self, path: Path, wishes: Wishes, sent: Sent | None = None) -> Pushed:
        """Push a task file; returns the boss's summary too."""
        return push(self.connection, read_task_file(self.connection, path), wishes, sent)

    def submit(
        self,
        tasks: list[Plain] | Plain,
        files: Sequence[object] = (),
        name: str | None = None,
        *,
        folder: str | Path = ".",
        job: str | None = None,
        merge: str | None = None,
        sign: str | Path | None = None,
        valid: float = VALID,
    ) -> "Job":
        """Push tasks made by a program: a list of native tasks or a whole document (docs/task-file.md).

        Without ``name`` the job is called what the document says, else ``job``, or ``job-2`` and so on where that is taken.
        ``files`` are entries as in a task file, looked for below ``folder``. ``sign`` and ``valid`` as in ``push``.
        Raises Refused with every problem.
        """
        wishes = Wishes(name, job, merge, sign=None if sign is None else Path(sign), valid=valid)
        file: TaskFile = submitted(tasks, tuple(files), name or "job", Path(folder).resolve())
        return Job(self, push(self.connection, file, wishes).job)

    def create_listener(self, name: str, public_key: str, lifetime: float) -> Plain:
        """Let a program read events at the broker (for admins): certificate and CA in PEM, host, port, topic."""
        made: Plain = self.connection.post("/listeners", {"name": name, "public_key": public_key, "lifetime": lifetime})
        return made

    def revoke_listener(self, name: str) -> Plain:
        """Take a listener back (for admins)."""
        gone: Plain = self.connection.delete(f"/listeners/{quote(name, safe='')}")
        return gone

    def listeners(self) -> list[Plain]:
        """Who may read events at the broker (for admins)."""
        found: list[Plain] = self.connection.get("/listeners")
        return found

    def notify_test(self, target: str = "") -> list[Plain]:
        """Send a test message to one target of the settings, or to all (for admins): ``target``, ``to``, ``sent``, ``said`` of each."""
        tried: list[Plain] = self.connection.post("/notify/test", {"target": target}, timeout=180.0)
        return tried

    def audit(self, job: str = "", who: str = "", since: float = 0.0, limit: int = 1000) -> list[Plain]:
        """Who has changed what, and tried to (for admins): the newest entries, oldest first; ``since`` is Unix time."""
        found: list[Plain] = self.connection.get("/audit", {"job": job, "who": who, "since": since, "limit": limit})
        return found

    # ---- shared data -------------------------------------------------------------------------------------------------

    def put(self, local: str | Path, name: str, sent: Sent | None = None) -> Plain:
        """Bring a file or folder to the datastore as ``shared:NAME``, for all jobs; the same again changes nothing.

        Raises InvalidRequest when other content has the name: shared data is never overwritten.
        """
        return sharing.put(self.connection, Path(local), name, sent=sent)

    def shared(self, prefix: str = "") -> list[Plain]:
        """Shared data whose name begins with this: name, size in bytes, sha256, when (Unix seconds), by (whom)."""
        found: list[Plain] = self.connection.get("/shared", {"prefix": prefix})
        return found

    # ---- looking -----------------------------------------------------------------------------------------------------

    def job(self, name: str) -> "Job":
        """A job by its name. Raises NotFound with the nearest names."""
        return Job(self, str(self.connection.get(f"/jobs/{quote(name, safe='')}")["name"]))

    def jobs(self) -> list[Plain]:
        """All jobs, oldest first."""
        found: list[Plain] = self.connection.get("/jobs")
        return found

    def status(self, job: str | None = None, brief: bool = False) -> Plain:
        """How things stand: jobs, counts of tasks by state, fleet, workers, vms, boss, rate, notes.

        ``brief``: with ``workers`` and ``vms`` empty; how many there are is in ``fleet``.
        """
        asked = ({"job": job} if job else {}) | ({"brief": "true"} if brief else {})
        found: Plain = self.connection.get("/status", asked or None)
        return found

    def tasks(self, *targets: str, states: Sequence[str] = (), stale: bool = False) -> list[Plain]:
        """Tasks of these targets (``JOB``, ``JOB:ID``, ``JOB:GLOB``; none: of all jobs), in these states (none: in all).

        With ``stale`` only those whose result was made from an older result than the one that is there now.
        """
        return [task for page in self.task_pages(*targets, states=states, stale=stale) for task in page]

    def task_pages(self, *targets: str, states: Sequence[str] = (), stale: bool = False) -> Iterator[list[Plain]]:
        """The same, page by page."""
        after = ""
        wanted: dict[str, Any] = {"target": list(targets), "state": list(states), "limit": PAGE}
        wanted |= {"stale": "true"} if stale else {}
        while after is not None:
            question: Params = {**wanted, "after": after}
            page = self.connection.get("/tasks", question)
            yield page["tasks"]
            after = page["next"]

    def task(self, target: str) -> Plain:
        """One task: its definition with defaults filled in, all attempts, tails of their logs."""
        found: Plain = self.connection.get("/task", {"target": target})
        return found

    def failures(self, *targets: str) -> Plain:
        """Failed tasks by cause: ``total``, and ``causes`` with count, exit code, last line of stderr and an example."""
        found: Plain = self.connection.get("/failures", {"target": list(targets)})
        return found

    def why(self, target: str) -> Plain:
        """Why a task waits, ran again or how it ended; or a VM is up, a pool has no more. ``why``: sentences, the remedy last."""
        found: Plain = self.connection.get("/why", {"target": target})
        return found

    def workers(self) -> list[Plain]:
        """The workers that are not gone."""
        found: list[Plain] = self.connection.get("/workers")
        return found

    def vms(self) -> list[Plain]:
        """The claims on servers that are not gone."""
        found: list[Plain] = self.connection.get("/vms")
        return found

    def console(self, vm: str) -> str:
        """The end of what the server of a VM wrote that never became a worker."""
        return str(self.connection.get(f"/vms/{quote(vm, safe='')}/console")["text"])

    def context(self) -> Plain:
        """Addresses of boss and datastore, and the cluster's id."""
        found: Plain = self.connection.get("/context")
        return found

    def logs(self, target: str, attempt: int | None = None, stream: str | None = None) -> Plain:
        """``stdout`` and ``stderr`` of one attempt of a task (the newest); of one that is ``running`` what it has written so far."""
        question: dict[str, str | int] = {"target": target}
        question |= {"attempt": attempt} if attempt else {}
        question |= {"stream": stream} if stream else {}
        found: Plain = self.connection.get("/logs", question)
        return found

    @contextmanager
    def follow(self, target: str) -> Iterator[Iterator[Plain | None]]:
        """``{"attempt", "stream", "data"}`` as a task writes it, at last ``{"end": state}``; None is a sign of life."""
        with self.connection.lines("/logs/follow", {"target": target}) as lines:
            yield lines

    @contextmanager
    def debug(self, worker: str) -> Iterator[Iterator[Plain | None]]:
        """``{"line"}`` of ``debug.sh`` on a worker's VM, as it runs; None is a sign of life."""
        with self.connection.lines(f"/workers/{quote(worker, safe='')}/debug", {}) as lines:
            yield lines

    @contextmanager
    def listen(self, topic: str = "") -> Iterator[Iterator[Plain | None]]:
        """Events as they happen; the first None says that nothing is missed from now on."""
        with self.connection.lines("/events", {"topic": topic}) as lines:
            yield lines

    # ---- accounts ----------------------------------------------------------------------------------------------------

    def me(self) -> Plain:
        """Whose token this is: name, role, token (its id), expires."""
        found: Plain = self.connection.get("/me")
        return found

    def create_token(self, role: str, name: str, lifetime: float | None = None) -> Plain:
        """Let somebody in (admins only); ``token`` in the answer is shown once. ``lifetime`` in seconds, None for ever."""
        made: Plain = self.connection.post("/tokens", {"role": role, "name": name, "lifetime": lifetime})
        return made

    def revoke_token(self, which: str) -> Plain:
        """Take back the token of this id, or all tokens of this name; says which, and the jobs that their names leave behind."""
        gone: Plain = self.connection.delete(f"/tokens/{quote(which, safe='')}")
        return gone

    def tokens(self) -> list[Plain]:
        """All tokens, without their texts."""
        found: list[Plain] = self.connection.get("/tokens")
        return found

    # ---- changing ----------------------------------------------------------------------------------------------------

    def cancel(self, *targets: str) -> list[Plain]:
        """End tasks that have not finished."""
        return self._change("/cancel", targets)

    def pause(self, *jobs: str) -> list[Plain]:
        """Deal out nothing new of these jobs."""
        return self._change("/pause", jobs)

    def resume(self, *jobs: str) -> list[Plain]:
        """Deal out these jobs' tasks again."""
        return self._change("/resume", jobs)

    def redo(self, *targets: str, descendants: bool = False, stale: bool = False) -> list[Plain]:
        """Run finished tasks again; the old results stay until the new ones are accepted.

        What was made from the old ones is left alone, and stale as soon as the new ones differ, unless ``descendants`` run again too.
        With ``stale`` the stale tasks of the targets run again, after the stale ones that they are made from, and all below these.
        """
        return self._change("/redo", targets, descendants=descendants, stale=stale)

    def retry_failed(self, *targets: str) -> list[Plain]:
        """Run failed tasks again, and what was skipped because of them."""
        return self._change("/retry", targets)

    def _change(self, path: str, targets: Sequence[str], **more: object) -> list[Plain]:
        done: list[Plain] = self.connection.post(path, {"targets": list(targets), **more})["done"]
        return done

    def instantiate_workers(self, count: int = 1, pool: str = "", keep: float = 0.0) -> list[str]:
        """Create workers now; ``keep`` seconds without scale-down. Returns their ids."""
        return list(self.connection.post("/workers", {"count": count, "pool": pool, "keep": keep})["workers"])

    def drain_workers(self, *workers: str) -> list[str]:
        """Let these workers finish what they have, then end them."""
        return list(self.connection.post("/workers/drain", {"workers": list(workers)})["workers"])

    def terminate_workers(self, *workers: str, now: bool = False) -> list[str]:
        """End these workers (none named: all); ``now`` does not wait for what they run."""
        body = {"workers": list(workers), "all": not workers, "now": now}
        return list(self.connection.post("/workers/terminate", body)["workers"])

    def add_host(self, login: str, cpus: int | None = None) -> Plain:
        """Install and start a worker on a host that the boss's user can log in to: ``worker``, ``login``, ``resources``."""
        found: Plain = self.connection.post("/hosts", {"login": login, "cpus": cpus}, timeout=300.0)
        return found

    def remove_host(self, login: str, now: bool = False) -> list[str]:
        """End a host's worker and remove every trace of it there; ``now`` does not wait for what it runs."""
        return list(self.connection.delete(f"/hosts/{quote(login, safe='')}{'?now=true' if now else ''}")["workers"])

    def close_fleet(self, now: bool = False) -> list[str]:
        """Create no VM any more, and let all go; those that are there still. ``now`` does not wait for what they run."""
        return list(self.connection.post("/fleet/close", {"now": now})["workers"])

    def open_fleet(self) -> None:
        """Let VMs come again for what waits."""
        self.connection.post("/fleet/open", {})

    def pools(self) -> list[Plain]:
        """The pools: ``minimum``, ``maximum`` and ``paused`` as they hold, ``given_*`` as the settings say."""
        found: list[Plain] = self.connection.get("/pools")
        return found

    def set_pool(self, pool: str, minimum: int | None = None, maximum: int | None = None, paused: bool | None = None) -> Plain:
        """Change a pool while the boss runs; without a change it is as the settings say again."""
        changes = {"minimum": minimum, "maximum": maximum, "paused": paused}
        said = {name: value for name, value in changes.items() if value is not None}
        path = f"/pools/{quote(pool, safe='')}"
        found: Plain = self.connection.put(path, said) if said else self.connection.delete(path)
        return found

    def begin_trial(self, pool: str = "", flavor: str = "") -> Plain:
        """Have one VM of a pool made, joined, given a task and deleted: the first pool with VMs, its first flavor."""
        found: Plain = self.connection.post("/trials", {"pool": pool, "flavor": flavor})
        return found

    def trials(self) -> list[Plain]:
        """The last trial of each pool: ``steps`` with their times, ``worked``, ``reason``, ``advice``; ``over`` is None until its end."""
        return list(self.connection.get("/trials"))

    def stop_trial(self, pool: str) -> Plain:
        """End a trial that goes on: its VM is deleted now."""
        found: Plain = self.connection.delete(f"/trials/{quote(pool, safe='')}")
        return found

    def leaks(self, remove: bool = False) -> Plain:
        """What carries the cluster's tag in the clouds, with its ``owner`` (empty: a leak, removed if told so); and ``silent`` clouds."""
        found: Plain = self.connection.delete("/fleet/leaks") if remove else self.connection.get("/fleet/leaks")
        return found

    def drop_context(self) -> list[str]:
        """Forget the small facts, but not who the cluster is; returns what was dropped."""
        return list(self.connection.delete("/context")["dropped"])

    def set_boss_address(self, address: str) -> str:
        """Say where VMs reach the boss, from its next start on."""
        return str(self.connection.put("/context/boss", {"address": address})["boss_address"])

    def set_datastore(self, address: str) -> Plain:
        """Use another datastore, after a log-in and a write there."""
        found: Plain = self.connection.put("/context/datastore", {"address": address})
        return found


class Job(HandyJob):
    """One job of a boss, by its name."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self._path = f"/jobs/{quote(name, safe='')}"

    def __repr__(self) -> str:
        return f"Job({self.name!r})"

    def status(self) -> Plain:
        """The job: state, counts of tasks, times."""
        found: Plain = self.client.connection.get(self._path)
        return found

    def wait(self, timeout: float | None = None, progress: Callable[[Plain], None] | bool | None = None) -> str:
        """Wait until the job has ended; returns ``succeeded``, ``failed`` or ``cancelled``.

        ``progress`` is called about twice a second with the job as ``status()`` has it; True shows a bar on a terminal or in a
        notebook, and a line now and then elsewhere. A boss that is started again meanwhile is waited for, for a minute. Raises
        WaitTimeout (which is a TimeoutError) after ``timeout`` seconds; the job goes on.
        """
        if progress is True:
            with showing.progress() as show:
                return self.wait(timeout, show)
        progress = progress or None
        end = None if timeout is None else time.monotonic() + timeout
        now = self.status()
        while True:
            if progress is not None:
                progress(now)
            if now["state"] in ENDED:
                return str(now["state"])
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"job {self.name} is {now['state']} after {timeout:g} s")
            left = ONE_WAIT if end is None else max(0.0, end - time.monotonic())
            question: Params = {"wait": min(left, LOOK if progress else ONE_WAIT)}
            now = patiently(lambda question=question: self.client.connection.get(self._path, question))  # type: ignore[misc]

    def tasks(self, pattern: str = "*", states: Sequence[str] = ()) -> list[Plain]:
        """The job's tasks whose ids fit a glob."""
        return self.client.tasks(f"{self.name}:{pattern}", states=states)

    def task(self, task: str) -> Plain:
        """One of the job's tasks, in full."""
        return self.client.task(f"{self.name}:{task}")

    def graph(self) -> Plain:
        """The job's tasks and who waits for whom: ``networkx.node_link_graph(job.graph())``."""
        found: Plain = self.client.connection.get(f"{self._path}/graph")
        return found

    def why(self, task: str) -> list[str]:
        """Why one of the job's tasks waits, or how it ended."""
        return list(self.client.why(f"{self.name}:{task}")["why"])

    def cancel(self, pattern: str = "*") -> list[Plain]:
        """End those of the job's tasks that have not finished and whose ids fit a glob."""
        return self.client.cancel(f"{self.name}:{pattern}")

    def results(self) -> list[Plain]:
        """The files that lie in the job's folder: path, size in bytes, sha256."""
        files: list[Plain] = self.results_so_far()["files"]
        return files

    def results_so_far(self) -> Plain:
        """The same with ``finished`` and ``total``, the counts of the job's tasks."""
        found: Plain = self.client.connection.get(f"{self._path}/results")
        return found

    def newer(self) -> list[str]:
        """Paths of results that are newer than what the database knows of them: only after a restore, of a job that came with it."""
        found: list[str] = self.client.connection.get(f"{self._path}/newer")
        return found

    def table(self, pattern: str = "*") -> list[Plain]:
        """A row a task whose id fits a glob, as a dictionary: id, parameters, state, times, and the numbers of its metrics file.

        Every row has all columns; None where there is no value. Raises DatastoreTrouble.
        """
        with Table(self.client, f"{self.name}:{pattern}") as table:
            return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]

    def fetch(
        self,
        to: str | Path | None = None,
        patterns: Sequence[str] = (),
        force: bool = False,
        progress: Sent | None = None,
    ) -> Fetched:
        """Bring results (those that fit a pattern; none: all) into a folder (``./<job>``); resumes, and verifies every file.

        Files that an earlier fetch has brought and nobody has touched are renewed. Raises FilesDiffer once all others have come when there
        are different files that are not (and ``force`` is not given); DatastoreTrouble.
        """
        origin = f"{self.client.context()['cluster']}:{self.name}"
        with datastore(self.client.connection) as endpoint:
            return fetch_results(endpoint, self.name, tuple(patterns), str(to or self.name), force, progress, origin)
