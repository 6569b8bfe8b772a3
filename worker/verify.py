"""A worker that runs signed work only: it fetches the signed document of a job once, has its signature checked, and holds each attempt
against it.

Rules:
- ``ssh-keygen -Y verify`` decides about signatures (OpenSSH 8.1 or newer): once for each document, not for each attempt. Whose key is
  trusted is in ``allowed_signers``, which came to this machine when it was made, and never comes from the boss afterwards.
- Whatever does not fit is final: the attempt has failed in phase ``verify``, and the log says it as an error. Trouble on the way to the
  document is not: it is fetched again.
- Attempts of one job (one uid) are of one signed job: what init tasks left in the job's folder is used by nobody else.

Python 3.9 syntax, standard library only: this file rides in the worker's bundle.
"""

import hashlib
import logging
import os
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union

from datastore.tree import blocks
from worker import signed
from worker.protocol import Assignment
from worker.signed import Document, DocumentWrong, NotSigned
from worker.trust import KEY_TYPES, NAMESPACE, TrustedKey, TrustError, claim_of, read_signers, split

_LOG = logging.getLogger("worker")
#: Where the owner of a machine says whom it trusts; no boss writes there, and where it is it counts instead of what the boss has said.
HOST_FILE = "/etc/ecloud/allowed_signers"
#: How many documents are remembered, and how large those that are may be together, in bytes.
REMEMBERED, ROOM = 64, 2 * signed.MAX_DOCUMENT
#: How long ssh-keygen may take, in seconds.
PATIENCE = 60.0


class SignatureRefused(Exception):
    """A signature that does not hold, or by a key that is not trusted; the message says which."""


class Verified(NamedTuple):
    """A document whose signature holds: by which key, and whose that is."""

    document: Document
    signer: TrustedKey


def verify_signature(signature: str, message: bytes, signers: str, program: str = "ssh-keygen") -> TrustedKey:
    """Whose signature this is, by the text of an ``allowed_signers``. Raises SignatureRefused, TrustError (of the file), OSError."""
    try:
        claim = claim_of(signature)
    except TrustError as error:
        raise SignatureRefused("the signature %s" % error) from None
    if claim.key_type not in KEY_TYPES:
        raise SignatureRefused("the signature is by a key of type %s: jobs are signed with Ed25519 keys" % claim.key_type)
    if claim.namespace != NAMESPACE:
        raise SignatureRefused("the signature is for %.40r, not for a job" % claim.namespace)
    key = next((key for key in read_signers(signers) if key.fingerprint == claim.fingerprint), None)
    if key is None:
        raise SignatureRefused("the key %s is not among those that are trusted" % claim.fingerprint)
    with tempfile.TemporaryDirectory(prefix="ecloud-verify-") as folder:
        for name, text in (("signature", signature), ("signers", signers)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text if text.endswith("\n") else text + "\n")
        command = [program, "-Y", "verify", "-n", NAMESPACE, "-I", key.name]
        command += ["-f", os.path.join(folder, "signers"), "-s", os.path.join(folder, "signature")]
        _check(command, message, "the signature of %s" % key.name)
    return key


def check_self(signature: str, message: bytes, program: str = "ssh-keygen") -> None:
    """Raise SignatureRefused unless a signature is of this message, by whatever key it names. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="ecloud-verify-") as folder:
        path = os.path.join(folder, "signature")
        with open(path, "w", encoding="utf-8") as file:
            file.write(signature)
        command = [program, "-Y", "check-novalidate", "-n", NAMESPACE, "-s", path]
        _check(command, message, "the signature")


def _check(command: Sequence[str], message: bytes, what: str) -> None:
    """Raise SignatureRefused unless an ssh-keygen that checks a signature takes it. Raises OSError, SubprocessError."""
    done = subprocess.run(command, check=False, input=message, capture_output=True, timeout=PATIENCE)
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise SignatureRefused("%s does not hold: %.200s" % (what, said[-1] if said else "no reason was given"))


def signers_file(configured: str, host_file: str = HOST_FILE) -> str:
    """Which ``allowed_signers`` counts on this machine: its owner's where there is one; empty: it runs unsigned work too."""
    return host_file if os.path.lexists(host_file) else configured


def verifier_of(configured: str, cluster: str, host_file: str = HOST_FILE) -> Optional["Verifier"]:
    """The verifier of this machine, None if it runs unsigned work too. Raises TrustError, naming the file, and OSError."""
    path = signers_file(configured, host_file)
    if not path:
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        if os.fstat(file.fileno()).st_mode & 0o022:
            raise TrustError("%s: others may write it, so that it says nothing: chmod go-w" % path)
        try:
            return Verifier(file.read(), cluster)
        except TrustError as error:
            raise TrustError("%s: %s" % (path, error)) from None


class Verifier:
    """Holds attempts against signed documents. Any thread may call."""

    def __init__(self, signers: str, cluster: str, clock: Callable[[], float] = time.time) -> None:
        """``signers`` is the text of the ``allowed_signers``. Raises TrustError for one that names nobody."""
        self.keys = read_signers(signers)
        self._signers = signers
        self._cluster = cluster
        self._clock = clock
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._known: "OrderedDict[str, Tuple[Union[Verified, str], int]]" = OrderedDict()  # the latter: why not; and the size
        self._jobs: Dict[str, Tuple[str, str]] = {}

    def verify(self, assignment: Assignment, fetch: Callable[[], bytes]) -> Document:
        """The document that says what this attempt is; ``fetch`` brings its bytes. Raises NotSigned, and what ``fetch`` raises."""
        try:
            return self._verify(assignment, fetch)
        except NotSigned as error:
            ids = {"job": assignment.job, "task": assignment.task, "attempt": assignment.attempt}
            _LOG.error("attempt %s is NOT RUN: %s", assignment.attempt, error, extra=ids)
            raise

    def _verify(self, assignment: Assignment, fetch: Callable[[], bytes]) -> Document:
        if not assignment.document:
            raise NotSigned("this worker runs signed jobs only, and this one is not signed")
        found = self._verified(assignment.document, fetch)
        if isinstance(found, str):
            raise NotSigned(found)
        signed.check_validity(found.document, self._cluster, self._clock())
        signed.check(found.document, assignment)
        self._bind(assignment.attempt.partition(".")[0], found)
        return found.document

    def _bind(self, uid: str, found: Verified) -> None:
        """All attempts of a uid are of one job of one signer: they share a folder that init tasks fill."""
        job = found.document.job, found.signer.fingerprint
        with self._lock:
            bound = self._jobs.setdefault(uid, job)
        if bound != job:
            raise NotSigned("attempts of %s were of job %s, signed by %s, on this worker" % (uid, *bound))

    def _verified(self, digest: str, fetch: Callable[[], bytes]) -> Union[Verified, str]:
        known = self._recalled(digest)
        if known is not None:
            return known
        with self._looking:  # who wants the same document waits for it, and nobody whose document is known
            known = self._recalled(digest)
            if known is None:
                data = fetch()
                try:
                    known = self._looked_at(digest, data)
                except (OSError, subprocess.SubprocessError) as error:
                    raise NotSigned("the signature could not be checked: %s" % error) from None
                self._remember(digest, known, len(data))
        return known

    def _recalled(self, digest: str) -> Union[Verified, str, None]:
        with self._lock:
            if digest not in self._known:
                return None
            self._known.move_to_end(digest)
            return self._known[digest][0]

    def _remember(self, digest: str, known: Union[Verified, str], size: int) -> None:
        with self._lock:
            self._known[digest] = known, size
            while len(self._known) > 1 and (
                len(self._known) > REMEMBERED or sum(each for _, each in self._known.values()) > ROOM
            ):
                self._known.popitem(last=False)

    def _looked_at(self, digest: str, data: bytes) -> Union[Verified, str]:
        if hashlib.sha256(data).hexdigest() != digest:
            return "the signed document is another one than the boss named"
        try:
            signature, message = split(data)
            signer = verify_signature(signature, message, self._signers)
            document = signed.read(message)
        except (TrustError, DocumentWrong) as error:
            return "the signed document %s" % error
        except SignatureRefused as error:
            return str(error)
        _LOG.info("job %s is signed by %s, %s", document.job, signer.name, signer.fingerprint, extra={"job": document.job})
        return Verified(document, signer)


def check_file(path: str, digest: str, name: str) -> None:
    """Raise NotSigned unless a plain file with this sha256 lies there; ``name`` is what it is called."""
    found = hashlib.sha256()
    file = _opened(path)
    if file is None:
        raise NotSigned("its input %.200s is no plain file where it should lie" % name)
    try:
        for data in blocks(file):
            found.update(data)
    finally:
        os.close(file)
    if found.hexdigest() != digest:
        raise NotSigned("its input %.200s has other content than was signed" % name)


def _opened(path: str) -> Optional[int]:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
