"""What runs on a plain SSH host for the boss: look at it, start a worker, renew its certificates, end it with all its
traces, say which ones live.

    ssh HOST python3 -c 'import sys; exec(sys.stdin.buffer.read(N))' WHAT ROOT ...   < this file (N bytes), then a tar stream

Rules:
- One file, so that nothing need be installed first; what it says is one JSON object on stdout, an error under ``error``.
- Everything lies below ROOT (``~/.ecloud/<cluster>``), each worker in a folder of its own; a process is named ``<pid>:<start time>``.
- With a worker go its tasks: every process whose environment names its folder.

Python 3.9 syntax, standard library only.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

#: What marks the processes of a worker; the worker hands it on to its tasks.
MARK = "ECLOUD_WORKER_FOLDER"
#: Oldest Python that a worker runs on.
PYTHON = (3, 9)
#: The files that are replaced while a worker runs.
CERTIFICATES = ("tls.pem", "key-cert.pub")


def main(words: List[str]) -> None:
    """Do one thing and say how it went."""
    what, root = words[0], os.path.expanduser(words[1])
    try:
        said = _WHAT[what](root, *words[2:])
    except Exception as error:  # whatever is wrong with this host, the boss hears it in one line
        said = {"error": "%s: %s" % (type(error).__name__, error)}
    print(json.dumps(said), flush=True)


def probe(root: str, *addresses: str) -> Dict[str, Any]:
    """What this host has, and which of the boss's addresses (``host:port``) it cannot reach, with the reasons."""
    if sys.version_info < PYTHON:
        return {"error": "python3 is %d.%d; a worker needs 3.9 or later" % sys.version_info[:2]}
    missing = [name for name in ("bash", "ssh") if shutil.which(name) is None]
    if missing:
        return {"error": "%s is not installed there, and a worker needs it" % " and ".join(missing)}
    os.makedirs(root, mode=0o700, exist_ok=True)
    free = shutil.disk_usage(root).free
    if not os.listdir(root):
        _remove_empty(root)
    with open("/proc/meminfo") as file:
        memory = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemTotal:"))
    resources = {"cpus": len(os.sched_getaffinity(0)), "memory": int(memory * 0.9), "disk": int(free * 0.9)}
    return {"resources": resources, "unreachable": dict(filter(None, map(_trouble, addresses)))}


def _trouble(address: str) -> Optional[Tuple[str, str]]:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        return address, error.strerror or str(error) or "no answer in 5 s"
    return None


def start(root: str, name: str, bundle: str) -> Dict[str, Any]:
    """Unpack a worker's folder from stdin and start it, unless it runs already."""
    folder = os.path.join(root, name)
    running = _recorded(folder)
    if running is None:
        os.makedirs(root, mode=0o700, exist_ok=True)
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
            for member in archive:
                archive.extract(member, root)
        running = _spawn(folder, os.path.join(folder, bundle))
    return {"process": running}


def _spawn(folder: str, bundle: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ECLOUD_", "SSH_"))}
    environment.update({MARK: folder, "ECLOUD_WORKER": os.path.basename(folder)})
    log = os.path.join(folder, "worker.log")
    with open(log, "ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", bundle, "--config", os.path.join(folder, "worker.json")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    running = "%d:%s" % (child.pid, _started(child.pid))
    with open(os.path.join(folder, "pid"), "w") as file:
        file.write(running)
    try:
        child.wait(timeout=1.0)  # what cannot start says so at once
    except subprocess.TimeoutExpired:
        return running
    with open(log, errors="replace") as file:
        raise OSError("the worker ended at once: %s" % " ".join(file.read()[-500:].split()))


def stop(root: str, name: str) -> Dict[str, Any]:
    """End a worker and its tasks, and remove all that it left."""
    folder = os.path.join(root, name)
    deadline = time.monotonic() + 20.0
    while True:
        pids = _marked(folder)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not pids:
            break
        if time.monotonic() > deadline:
            raise OSError("processes of %s do not end, among them %d" % (name, pids[0]))
        time.sleep(0.05)
    if os.path.isdir(folder):
        for parent, names, _ in os.walk(folder):
            for path in (os.path.join(parent, one) for one in names):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(folder)
    _remove_empty(root)
    return {"removed": True}


def living(root: str) -> Dict[str, Any]:
    """Which workers live below ROOT: name -> process."""
    names = os.listdir(root) if os.path.isdir(root) else []
    found = {name: _recorded(os.path.join(root, name)) for name in names}
    return {"workers": {name: process for name, process in found.items() if process is not None}}


def certificates(root: str, name: str) -> Dict[str, Any]:
    """The certificates that a worker has."""
    found = {}
    for certificate in CERTIFICATES:
        with open(os.path.join(root, name, certificate)) as file:
            found[certificate] = file.read()
    return {"files": found}


def install(root: str, name: str) -> Dict[str, Any]:
    """Replace a worker's certificates by those of a JSON object on stdin, each file at once."""
    given = json.load(sys.stdin.buffer)
    for certificate in CERTIFICATES:
        path = os.path.join(root, name, certificate)
        part = path + ".new"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(given[certificate])
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    return {"installed": True}


def _remove_empty(root: str) -> None:
    for folder in (root, os.path.dirname(root)):
        try:
            os.rmdir(folder)
        except OSError:
            return


def _recorded(folder: str) -> Optional[str]:
    try:
        with open(os.path.join(folder, "pid")) as file:
            text = file.read().strip()
    except OSError:
        return None
    pid = text.partition(":")[0]
    return text if pid.isdigit() and text == "%s:%s" % (pid, _started(int(pid))) else None


def _started(pid: int) -> str:
    """The start time of a process, in clock ticks since boot; empty for one that is gone or a zombie."""
    try:
        with open("/proc/%d/stat" % pid, errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _marked(folder: str) -> List[int]:
    wanted = ("%s=%s" % (MARK, folder)).encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                environment = file.read().split(b"\0")
        except OSError:
            continue
        if wanted in environment and _started(int(name)):
            found.append(int(name))
    return found


_WHAT: Dict[str, Callable[..., Dict[str, Any]]] = {
    "probe": probe,
    "start": start,
    "stop": stop,
    "list": living,
    "certificates": certificates,
    "install": install,
}

if __name__ in ("__main__", "builtins"):
    main(sys.argv[1:])
