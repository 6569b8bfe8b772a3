"""How a machine becomes a worker: ``python3 -I join.py FOLDER`` makes keys, asks the boss in, fetches the bundle, and becomes it.

    FOLDER/join.json                  from the user data: where the boss is, its CA, the join token
    FOLDER/tls.key, key (and .pub)    this machine's keys, made here; the private halves never leave it
    FOLDER/worker.json, *.pem, ...    what the boss answered: see worker/config.py
    FOLDER/worker-<hash>.pyz          the worker

Rules:
- One file that runs alone: it comes with the user data, before the bundle is there. A plain image has Python and OpenSSH, so both
  key pairs are ``ssh-keygen``'s (the TLS key as PKCS8, which TLS libraries read).
- The boss is believed only under the pinned CA; the bundle only under the hash that the boss said. Where the user data names a bundle, as
  for workers that run signed jobs only, no other is run, whatever the boss says later.
- The same keys asking again get the same answer: a restart joins again. While the boss is away, or says no, a machine that has
  joined before goes on with what it was given: it may hold results.
- Exit codes: 3 the boss refuses this machine, 4 it was not reached in time. Both are for good. Else the worker's own.

Python 3.9, standard library only.
"""

import hashlib
import http.client
import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, Iterable, List, NoReturn, Optional, Union

#: The version of the wire that this side speaks (worker/protocol.py has the same number).
VERSION = 2
REFUSED, TOO_LATE = 3, 4
#: First and longest pause between two tries, in seconds; each is shortened by chance to as little as half.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 20.0
#: How long one request may take, and the longest answer in bytes.
TIMEOUT = 20.0
MAX_ANSWER = 32 << 20
#: File names of keys and of the note how long the certificates last; worker/renewal.py has them from worker.json.
TLS_KEY, SSH_KEY, RECORD = "tls.key", "key", "certificates.json"
#: The file that says when the boss has answered last (worker/pulse.py): removed when it lets this machine in.
HEARD = "heard"
METADATA = "http://169.254.169.254/openstack/latest/meta_data.json"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Files that the boss may have written here: nothing that came with the user data, which decides what this machine is.
FROM_BOSS = ("ca.pem", "tls.pem", "key-cert.pub", "known_hosts")


#: A JSON object.
Json = Dict[str, Any]


class Refused(Exception):
    """The boss does not want this machine; asking again would change nothing."""


class NotYet(Exception):
    """The boss was not reached, or cannot answer now."""


def main(argv: List[str]) -> int:
    """Join, and become the worker; returns only when that was not possible."""
    folder = os.path.abspath(argv[1])
    with open(os.path.join(folder, "join.json"), encoding="utf-8") as file:
        told = json.load(file)
    make_keys(folder)
    if argv[2:] == ["--look"]:
        return look(folder, told)
    end = time.monotonic() + told["patience"]
    pause = FIRST_PAUSE
    while True:
        try:
            bundle = join(folder, told)
            say("joined as %s" % read_json(folder, "worker.json")["worker"])
            become(folder, bundle)
        except (Refused, NotYet) as error:
            say(str(error))
            bundle = earlier_bundle(folder)
            if bundle:
                say("going on with what the boss has given before")
                become(folder, bundle)
            if isinstance(error, Refused):
                return REFUSED
            if time.monotonic() > end:
                say("giving up: not in for %.0f s" % told["patience"])
                return TOO_LATE
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)
        pause = min(LONGEST_PAUSE, pause * 2)


def look(folder: str, told: Json) -> int:
    """Ask the boss, say what it answers, change nothing. (The same keys asking again get the same answer.)"""
    try:
        answer = ask(folder, told)
    except (Refused, NotYet) as error:
        say(str(error))
        return REFUSED if isinstance(error, Refused) else TOO_LATE
    shown = {name: value for name, value in answer["worker"].items() if not isinstance(value, str) or len(value) < 200}
    say("the boss lets this machine in; certificates for %.0f s; bundle %s" % (answer["lifetime"], answer["bundle"]["sha256"]))
    print(json.dumps(shown, indent=1))
    return 0


def join(folder: str, told: Json) -> str:
    """Ask the boss in and put what it answers into the folder; the bundle's path. Raises Refused, NotYet."""
    answer = ask(folder, told)
    bundle = fetch_bundle(folder, told, answer["bundle"])
    install(folder, told, answer)
    return bundle


def ask(folder: str, told: Json) -> Json:
    """What the boss answers to this machine's keys. Raises Refused, NotYet."""
    body = {
        "token": told["token"],
        "version": VERSION,
        "tls_key": public_key(folder, TLS_KEY),
        "ssh_key": public_key(folder, SSH_KEY),
        "server": server_id(told.get("identify", ())),
        "name": name_of(folder),
        "addresses": [address_towards(told["boss"])],
        "resources": measure(folder),
        "host_key": (host_key() if told.get("host_key") else "") or None,
    }
    data = call(told, "POST", "/join", json.dumps(body).encode())
    try:
        answer = json.loads(data)
        assert isinstance(answer["worker"], dict) and isinstance(answer["files"], dict) and answer["bundle"]["sha256"]
    except (ValueError, KeyError, TypeError, AssertionError):
        raise NotYet("the boss's answer cannot be read") from None
    return dict(answer)


def install(folder: str, told: Json, answer: Json) -> None:
    """Write what the boss answered; worker.json last, because its being there means that all is."""
    for name, text in answer["files"].items():
        if name in FROM_BOSS:
            write(os.path.join(folder, name), text)
    record(folder, answer["lifetime"])
    if os.path.exists(os.path.join(folder, HEARD)):
        os.unlink(os.path.join(folder, HEARD))
    document = dict(answer["worker"], **told.get("worker", {}))
    write(os.path.join(folder, "worker.json"), json.dumps(document, indent=1))


def record(folder: str, lifetime: float) -> None:
    """Note by this machine's own clock from when to when its certificates last, in Unix seconds."""
    write(os.path.join(folder, RECORD), json.dumps({"from": time.time(), "until": time.time() + lifetime}))


def fetch_bundle(folder: str, told: Json, bundle: Json) -> str:
    """The path of the worker's bundle, fetched unless it is there. Raises Refused, NotYet."""
    digest = bundle["sha256"]
    if told.get("bundle") and digest != told["bundle"]:
        raise Refused("the boss has another bundle (%.12s) than this machine was made with (%.12s)" % (digest, told["bundle"]))
    path = os.path.join(folder, "worker-%s.pyz" % digest[:12])
    if digest_of(path) != digest:
        data = call(told, "GET", "/bundle/" + urllib.parse.quote(digest))
        if hashlib.sha256(data).hexdigest() != digest:
            raise NotYet("the bundle came in damaged")
        write(path, data)
    return path


def earlier_bundle(folder: str) -> str:
    """The bundle of an earlier join whose certificates still last; empty when there is none."""
    try:
        read_json(folder, "worker.json")
        if read_json(folder, RECORD)["until"] < time.time():
            return ""
        names = [name for name in os.listdir(folder) if re.fullmatch(r"worker-[0-9a-f]{12}\.pyz", name)]
    except (OSError, ValueError, KeyError):
        return ""
    paths = sorted((os.path.join(folder, name) for name in names), key=os.path.getmtime)
    return paths[-1] if paths else ""


def become(folder: str, bundle: str) -> NoReturn:
    """Let the worker take this process over."""
    os.execv(sys.executable, [sys.executable, "-I", "-S", bundle, "--config", os.path.join(folder, "worker.json")])  # noqa: S606


def call(told: Json, method: str, path: str, body: Optional[bytes] = None) -> bytes:
    """One request to the boss's join door; the answer's bytes. Raises Refused, NotYet."""
    place = urllib.parse.urlsplit(told["boss"])
    try:
        context = ssl.create_default_context(cadata=told["ca"])
        link = http.client.HTTPSConnection(place.hostname or "", place.port, timeout=TIMEOUT, context=context)
        try:
            link.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = link.getresponse()
            data = answer.read(MAX_ANSWER)
        finally:
            link.close()
    except (OSError, http.client.HTTPException) as error:
        raise NotYet("%s is not reached: %s" % (told["boss"], error or type(error).__name__)) from None
    if answer.status == 200:
        return data
    sentence = "the boss answers %d: %s" % (answer.status, data[:500].decode("utf-8", "replace"))
    raise (Refused if answer.status in (400, 403, 404, 422) else NotYet)(sentence)


# ---- this machine ----------------------------------------------------------------------------------------------------


def make_keys(folder: str) -> None:
    """Make the key pairs that are not there yet."""
    for name, how in ((TLS_KEY, ("-t", "ecdsa", "-b", "256", "-m", "PKCS8")), (SSH_KEY, ("-t", "ed25519"))):
        path = os.path.join(folder, name)
        if os.path.exists(path) and os.path.exists(path + ".pub"):
            continue
        for part in (path, path + ".pub", path + ".new", path + ".new.pub"):
            if os.path.exists(part):
                os.unlink(part)
        subprocess.run(["ssh-keygen", "-q", *how, "-N", "", "-C", "", "-f", path + ".new"], check=True, stdin=subprocess.DEVNULL)
        os.rename(path + ".new", path)
        os.rename(path + ".new.pub", path + ".pub")


def public_key(folder: str, name: str) -> str:
    """The public half of a key as ``<type> <base64>``."""
    return key_in(os.path.join(folder, name + ".pub"))


def key_in(path: str) -> str:
    """The public key in a file of OpenSSH's, as ``<type> <base64>``. Raises OSError, ValueError."""
    with open(path, encoding="ascii") as file:
        return " ".join(file.read().split()[:2])


def host_key() -> str:
    """The public key of this machine's own SSH server, by which the boss will know it; empty where there is none."""
    try:
        return key_in("/etc/ssh/ssh_host_ed25519_key.pub")
    except (OSError, ValueError):
        return ""


def measure(folder: str) -> Dict[str, int]:
    """What this machine has: cpus that we may use, bytes of memory, bytes of disk that are free below the folder."""
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemTotal:"))
    disk = os.statvfs(folder)
    return {"cpus": len(os.sched_getaffinity(0)), "memory": memory, "disk": disk.f_bavail * disk.f_frsize}


def server_id(sources: Iterable[str]) -> str:
    """The cloud's id of this server, from the first of these sources that knows it; empty when none does."""
    for source in sources:
        try:
            found = _SOURCES[source]().strip().lower()
        except (OSError, ValueError, KeyError):
            continue
        if _UUID.fullmatch(found):
            return found
    return ""


def _from_cloud_init() -> str:
    with open("/var/lib/cloud/data/instance-id", encoding="ascii") as file:
        return file.read()


def _from_metadata() -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(METADATA, timeout=1.0) as answer:
        return str(json.loads(answer.read(1 << 20))["uuid"])


def _from_firmware() -> str:
    with open("/sys/class/dmi/id/product_name", encoding="ascii") as file:
        if "openstack" not in file.read().lower():
            return ""
    with open("/sys/class/dmi/id/product_uuid", encoding="ascii") as file:
        return file.read()


_SOURCES: Dict[str, Callable[[], str]] = {"cloud-init": _from_cloud_init, "metadata": _from_metadata, "firmware": _from_firmware}


def name_of(folder: str) -> str:
    """What this machine is called: by the user data's script, else by itself."""
    try:
        with open(os.path.join(folder, "name"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return socket.gethostname()


def address_towards(url: str) -> str:
    """The address from which this machine reaches the boss; empty when it does not know."""
    place = urllib.parse.urlsplit(url)
    try:
        kind, _, _, _, peer = socket.getaddrinfo(place.hostname, place.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)  # of a datagram socket: nothing is sent
            return str(probe.getsockname()[0])
    except OSError:
        return ""


# ---- files -----------------------------------------------------------------------------------------------------------


def read_json(folder: str, name: str) -> Json:
    """A JSON object of the folder. Raises OSError, ValueError."""
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        document = json.load(file)
    if not isinstance(document, dict):
        raise ValueError("%s is not a JSON object" % name)
    return document


def write(path: str, content: Union[str, bytes]) -> None:
    """Write a file of mode 0600, at once or not at all."""
    data = content.encode() if isinstance(content, str) else content
    beside = path + ".new"
    if os.path.lexists(beside):
        os.unlink(beside)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def digest_of(path: str) -> str:
    """The sha256 of a file; empty when there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def say(text: str) -> None:
    """One line for the log; never anything secret."""
    print("ecloud join: %s" % text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
