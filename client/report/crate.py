"""A job as a Workflow Run RO-Crate: what ran, who ran it where, from which files to which, with their sha256.

Rules:
- It conforms to Process Run Crate and Workflow Run Crate 0.5 and to Workflow RO-Crate 1.0: the run of the whole job is one action, the
  run of each task another. A job of more than ACTIONS tasks has the first alone; ``attempts.csv`` has every attempt of every job.
- Files that are not in the crate (what was pushed; results with ``files=False``) are named by their digest: ``ni:///sha-256;...``
  (RFC 6920).
- A folder that holds something else is refused; a crate of the same job is made anew.
"""

import base64
import csv
import hashlib
import io
import json
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.file import File
from rocrate.model.person import Person
from rocrate.rocrate import ROCrate

from client.errors import ClientError, Conflict
from client.report.gather import Report, pages
from client.report.texts import tidy

if TYPE_CHECKING:
    from client.api import Client

#: Tasks whose runs are described one by one, at most; and files that are described.
ACTIONS = 2000
FILES = 20_000
METADATA, WORKFLOW, ATTEMPTS, PAGE, RESULTS = "ro-crate-metadata.json", "workflow.json", "attempts.csv", "report.html", "results"
README = "README.md"
_RUN = "https://w3id.org/ro/wfrun"
PROFILES = (
    (f"{_RUN}/process/0.5", "Process Run Crate", "0.5"),
    (f"{_RUN}/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
_STATUS = {"succeeded": "CompletedActionStatus", "failed": "FailedActionStatus", "cancelled": "FailedActionStatus"}
_HEADER = [
    *("task", "entry", "state", "attempt", "outcome", "worker", "pool", "flavor"),
    *("assigned", "started", "finished", "cpus", "cpu_seconds", "memory", "cause"),
]

Plain = dict[str, Any]


class NoCrate(ClientError):
    """The crate could not be made; the sentence says why and what helps."""


@dataclass(frozen=True, slots=True)
class Made:
    """What is in a crate; ``remark`` says what is not, or is empty."""

    files: int
    actions: int
    remark: str


def check_folder(folder: Path, job: str) -> None:
    """Refuse before anything is asked. Raises Conflict, NoCrate."""
    if not folder.exists():
        if not folder.parent.is_dir():
            raise NoCrate(f"{folder} cannot be made: there is no folder {folder.parent}")
        return
    if not folder.is_dir():
        raise NoCrate(f"{folder} is a file: --ro-crate takes a folder's name")
    if any(folder.iterdir()):
        try:
            graph = json.loads((folder / METADATA).read_text("utf-8"))["@graph"]
            name = next(one.get("name") for one in graph if one.get("@id") == "./")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
            name = None
        if name != _title(job):
            raise Conflict(f"{folder} holds something else than a crate of {job}; choose a folder that is empty or not there")


def make_crate(client: "Client", report: Report, page: str, folder: Path, *, files: bool, licence: str) -> Made:
    """Write the crate into a folder. Raises NoCrate, DatastoreTrouble, ..."""
    results = client.job(report.past.name).results()
    try:
        folder.mkdir(exist_ok=True)
        if files and results:
            client.job(report.past.name).fetch(folder / RESULTS)
        made = _Crate(client, report, results, files, licence)
        (folder / PAGE).write_text(page, "utf-8")
        (folder / WORKFLOW).write_text(made.definition, "utf-8")
        (folder / README).write_text(_readme(report, made, files), "utf-8")
        (folder / ATTEMPTS).write_text(_csv(report), "utf-8", "backslashreplace")
        made.crate.metadata.write(folder)
    except OSError as error:
        raise NoCrate(f"{folder} cannot be written: {error.strerror or error}") from None
    return Made(len(results), made.actions, made.remark)


def _title(job: str) -> str:
    return f"Run of {tidy(job)}"


class _Crate:
    """The description of a job, as rocrate holds it."""

    def __init__(self, client: "Client", report: Report, results: list[Plain], files: bool, licence: str) -> None:
        self.crate: Any = ROCrate(version="1.1")
        self.actions = 1
        self._report, self._files = report, files
        self._by_path: dict[str, Any] = {}
        self._by_digest: dict[tuple[str, str], Any] = {}
        self._places: dict[str, Any] = {}
        past = report.past
        self._describe(licence)
        self._owner = self.crate.add(Person(self.crate, f"#{_id('owner', past.owner)}", {"name": tidy(past.owner)}))
        self.crate.root_dataset["author"] = self._owner
        outputs = [self._result(one) for one in results[:FILES]]
        self.remark = ""
        if len(results) > FILES:
            self.remark = f"; {len(results) - FILES:,} of the results are in {RESULTS}/SHA256SUMS alone"
        workflow = self._workflow()
        described = pages(client, past.name, "provenance")
        if len(past.tasks) > ACTIONS:
            details = [{**next(described), "tasks": []}]  # the first entries, for the workflow's description
            self.remark += f"; more than {ACTIONS:,} tasks: {ATTEMPTS} tells of each, the description of the job as a whole"
        else:
            details = list(described)
        inputs: dict[str, Any] = {}
        runs = []
        applications: dict[int, Any] = {}
        for detail in details:
            applications |= {int(number): self._application(int(number), one) for number, one in detail["entries"].items()}
            for one in detail["tasks"]:
                run = self._task(one, applications.get(one["template"], workflow), inputs)
                runs += [run] if run is not None else []
        self.definition = self._defined(details)
        workflow["version"] = hashlib.sha256(self.definition.encode()).hexdigest()[:12]
        workflow["hasPart"] = _single(list(applications.values()) or [self._own_application()])
        whole = self._whole(workflow, list(inputs.values()), outputs)
        self.actions += len(runs)
        self.crate.root_dataset["mentions"] = _single([whole, *runs])
        for path, what, kind in (
            (ATTEMPTS, "Every attempt of every task: who ran what where, when, at which cost", "text/csv"),
            (README, "What this folder is", "text/markdown"),
            (PAGE, "Timeline, use, failures, cost and critical path, for people", "text/html"),
        ):
            self.crate.add(
                File(self.crate, dest_path=path, properties={"name": path, "description": what, "encodingFormat": kind})
            )

    def _describe(self, licence: str) -> None:
        past, root = self._report.past, self.crate.root_dataset
        profiles = [
            self.crate.add(ContextEntity(self.crate, uri, {"@type": "CreativeWork", "name": name, "version": version}))
            for uri, name, version in PROFILES
        ]
        root["conformsTo"] = profiles
        root["name"] = _title(past.name)
        state = past.state if past.over else f"{past.state} still"
        root["description"] = f"Job {tidy(past.name)} of {tidy(past.owner)}, run by ecloud: {len(past.tasks):,} tasks, {state}."
        root["datePublished"] = _when(past.now)
        named = licence or "#no-licence"
        words = (
            {"name": licence}
            if licence
            else {"name": "No licence stated", "description": "Nobody has said what may be done with this data: ask its owner."}
        )
        root["license"] = self.crate.add(ContextEntity(self.crate, named, {"@type": "CreativeWork", **words}))
        self.crate.metadata["conformsTo"] = [{"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": PROFILES[2][0]}]
        self.crate.metadata.extra_contexts.append(CONTEXT)

    def _workflow(self) -> Any:
        language = self.crate.add(
            ContextEntity(
                self.crate,
                "#ecloud-task-file",
                {
                    "@type": "ComputerLanguage",
                    "name": "ecloud task file",
                    "description": "Commands that depend on each other and on files",
                },
            )
        )
        workflow = self.crate.add(
            File(
                self.crate,
                dest_path=WORKFLOW,
                properties={
                    "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
                    "name": tidy(self._report.past.name),
                    "description": "The entries of the job's task file as they ran, defaults filled in",
                    "encodingFormat": "application/json",
                },
            )
        )
        workflow["programmingLanguage"] = language
        self.crate.root_dataset["mainEntity"] = workflow
        return workflow

    def _own_application(self) -> Any:
        return self.crate.add(
            ContextEntity(
                self.crate,
                "#ecloud",
                {"@type": "SoftwareApplication", "name": "ecloud", "softwareVersion": self._report.version},
            )
        )

    def _application(self, number: int, one: Plain) -> Any:
        words = {
            "@type": "SoftwareApplication",
            "name": tidy(one["name"]),
            "softwareVersion": f"as pushed for job {tidy(self._report.past.name)}",
            "description": "\n".join(tidy(command) for command in one["commands"]),
        }
        return self.crate.add(ContextEntity(self.crate, f"#entry-{number}", words))

    def _whole(self, workflow: Any, inputs: list[Any], outputs: list[Any]) -> Any:
        past = self._report.past
        words: Plain = {
            "@type": "CreateAction",
            "name": _title(past.name),
            "startTime": _when(past.created),
            "endTime": _when(past.end),
            "actionStatus": _status(past.state),
            "description": f"{len(past.tasks):,} tasks on {len(past.machines):,} workers",
        }
        action = self.crate.add(ContextEntity(self.crate, "#run", words))
        action["instrument"], action["agent"] = workflow, self._owner
        if inputs:
            action["object"] = _single(inputs)
        if outputs:
            action["result"] = _single(outputs)
        return action

    def _task(self, one: Plain, application: Any, inputs: dict[str, Any]) -> Any | None:
        """The run of a task by its accepted attempt, else by its last one; None for one that never ran."""
        if one["started"] is None:
            return None
        number = one["attempt"] or "last"
        words: Plain = {
            "@type": "CreateAction",
            "name": f"{tidy(one['id'])}, attempt {number}" if one["attempt"] else f"{tidy(one['id'])}, its last attempt",
            "description": "\n".join(tidy(command) for command in one["commands"]),
            "startTime": _when(one["started"]),
            "actionStatus": _status(one["state"]),
        }
        if one["finished"] is not None:
            words["endTime"] = _when(one["finished"])
        if one["state"] == "failed" and one["reason"]:
            words["error"] = tidy(one["reason"])
        action = self.crate.add(ContextEntity(self.crate, f"#{_id('task', one['id'])}", words))
        action["instrument"], action["agent"], action["location"] = application, self._owner, self._worker(one["worker"])
        read = [self._source(source, inputs) for source in (one["made_of"] or {"files": []})["files"] if source["sha256"]]
        if read:
            action["object"] = _single(read)
        yielded = [self._result(file) for file in one["files"] or () if file["path"] in self._by_path or file["sha256"]]
        if yielded:
            action["result"] = _single(yielded)
        return action

    def _worker(self, worker: str) -> Any:
        if worker not in self._places:
            known = next((one for one in self._report.past.machines if one.id == worker), None)
            what = f"pool {known.pool}, flavor {known.flavor}" if known is not None and known.pool else "a worker"
            words = {"@type": "Place", "name": tidy(worker), "description": what}
            self._places[worker] = self.crate.add(ContextEntity(self.crate, f"#{_id('worker', worker)}", words))
        return self._places[worker]

    def _result(self, one: Plain) -> Any:
        """A file that lies in the job's folder, or that has lain there: another content of the same name is another file."""
        known = self._by_path.get(one["path"])
        if known is not None and (not one["sha256"] or known.get("sha256") in (None, one["sha256"])):
            return known
        words = _file(one["path"], one["sha256"], one["size"])
        if known is not None or not self._files:
            made = self._elsewhere(one["path"], one["sha256"], words)
        else:
            made = self.crate.add(File(self.crate, dest_path=f"{RESULTS}/{one['path']}", properties=words))
        if known is None:
            self._by_path[one["path"]] = made
        return made

    def _source(self, source: Plain, inputs: dict[str, Any]) -> Any:
        """A file that a task read: a result, or one that was pushed."""
        if source["task"]:
            return self._result({"path": source["path"], "sha256": source["sha256"], "size": None})
        made = self._elsewhere(source["path"], source["sha256"], _file(source["path"], source["sha256"], None))
        inputs.setdefault(made.id, made)
        return made

    def _elsewhere(self, path: str, digest: str, words: Plain) -> Any:
        """A file that is not in the crate."""
        key = digest, "" if digest else path
        if key not in self._by_digest:
            named = named_by(digest) if digest else f"#{_id('file', path)}"
            kind = File if digest else ContextEntity
            extra = {} if digest else {"@type": "CreativeWork"}
            self._by_digest[key] = self.crate.add(kind(self.crate, named, properties=words | extra))
        return self._by_digest[key]

    def _defined(self, details: Iterable[Plain]) -> str:
        entries: Plain = {}
        for detail in details:
            entries |= detail["entries"]
        shown = [entries[number] for number in sorted(entries, key=int)]
        document = {"format": "ecloud job, as it ran", "job": self._report.past.name, "entries": shown}
        return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def _single(values: list[Any]) -> Any:
    """One value by itself, as RO-Crate wishes it."""
    return values[0] if len(values) == 1 else values


def _readme(report: Report, made: _Crate, files: bool) -> str:
    """What a person finds first."""
    past = report.past
    results = (
        f"`{RESULTS}/` has its results; `cd {RESULTS} && sha256sum -c SHA256SUMS` checks them."
        if files
        else ("Its results are not here; they are named by their sha256.")
    )
    actions = (
        f"Each of {made.actions - 1:,} tasks is described by itself." if made.actions > 1 else "The job is described as a whole."
    )
    return f"""# {_title(past.name)}

A [Workflow Run RO-Crate](https://w3id.org/ro/wfrun/workflow/0.5) of a job of {tidy(past.owner)}, made by ecloud {report.version}.
`{METADATA}` says what ran, from which files to which. {actions}

- `{PAGE}`: timeline, use, failures, cost and critical path, for people
- `{ATTEMPTS}`: every attempt of every task: where it ran, when, what it cost
- `{WORKFLOW}`: the entries of the task file, as they ran

{results}
"""


def _file(path: str, digest: str, size: int | None) -> Plain:
    kind = mimetypes.guess_type(path.rsplit("/", 1)[-1])[0] or "application/octet-stream"
    words: Plain = {"name": tidy(path.rsplit("/", 1)[-1]), "alternateName": tidy(path), "encodingFormat": kind}
    if digest:
        words["sha256"] = digest
    if size is not None:
        words["contentSize"] = str(size)
    return words


def named_by(digest: str) -> str:
    """The name of what has this sha256 (hex), as RFC 6920 has it."""
    return "ni:///sha-256;" + base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _id(kind: str, name: str) -> str:
    return f"{kind}-{quote(name.encode('utf-8', 'replace'), safe='')}"


def _status(state: str) -> str:
    return "http://schema.org/" + _STATUS.get(state, "ActiveActionStatus")


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    machines = {one.id: one for one in report.past.machines}
    for task in report.past.tasks:
        for one in task.attempts:
            machine = machines.get(one.worker)
            where = (machine.pool, machine.flavor) if machine is not None else ("", "")
            times = one.assigned, one.start, None if one.open else one.end
            row = (
                task.id,
                task.family,
                task.state,
                one.number,
                one.fate,
                one.worker,
                *where,
                *times,
                one.cpus,
                one.cpu_used,
                one.memory,
                one.cause,
            )
            writer.writerow([_harmless(cell) for cell in row])
    return text.getvalue()


def _harmless(cell: object) -> object:
    """A text that a spreadsheet does not run."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
