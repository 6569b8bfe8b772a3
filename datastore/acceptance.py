"""How an upload becomes results: accepted by one rename, moved forward file by file, entered in the manifest. Or rejected.

    incoming/<attempt>  --rename-->  accepted/<attempt>  --files, one by one-->  jobs/<job>/   then SHA256SUMS, then the rest is removed
    incoming/<attempt>  --rename-->  trash/<attempt>

Rules:
- Whichever rename wins decides. What can be refused is refused before it: an upload whose record differs from what the boss
  has committed, a file that would have to replace a folder (or a folder a file).
- From acceptance on there is no way back, only repetition: a source that is gone, with a destination as in the manifest, is done.
  So ``accept`` may be killed between any two steps and be asked again for ever; a finished one answers the same.
- The answer is given when the results would survive a power cut.
- One batch at a time (a lock on the root): an older boss's session cannot write a manifest at the same time.

Python 3.9 syntax, standard library only.
"""

import hashlib
import json
import os
import stat
from collections import OrderedDict
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from datastore import frames, layout
from datastore.frames import GateFull, GateRefused
from datastore.manifest import Manifest
from datastore.tree import Tree, blocks, folders_above

#: How many jobs' manifests a session keeps in memory.
MANIFESTS = 8

ACCEPTED, REFUSED, TROUBLE, FULL = "accepted", "refused", "trouble", "full"


class Upload(NamedTuple):
    """What the boss wants accepted: ``files`` are ``(path, size in bytes, sha256)``, as it has committed them.

    With ``keep`` a result that lies there and differs is put aside, to ``replaced/<job>/<attempt>/``, instead of being replaced.
    """

    attempt: str
    job: str
    files: Tuple[Tuple[str, int, str], ...]
    keep: bool = False


#: ``(attempt, ACCEPTED | REFUSED | TROUBLE | FULL, reason)``; trouble and a full disk are worth asking again, refused is final. With
#: ACCEPTED the reason says what was put aside, if anything.
Answer = Tuple[str, str, str]


def _no_pause(step: str) -> None:
    """Called with the name of each step before it is done; tests die here."""


class Acceptance:
    """The accepting side of one lasting session."""

    def __init__(self, tree: Tree, before: Callable[[str], None] = _no_pause) -> None:
        self._tree = tree
        self._before = before
        self._manifests: "OrderedDict[str, Manifest]" = OrderedDict()

    def accept(self, uploads: Sequence[Upload]) -> List[Answer]:
        """Accept a batch; one answer for each, in order."""
        answers: Dict[str, Answer] = {}
        forward: List[Upload] = []
        with self._tree.locked():
            for upload in uploads:
                try:
                    said = ""
                    for path, _size, _digest in upload.files:
                        layout.check_path(path)
                    if self._claim(upload):
                        aside = self._move(upload)
                        forward.append(upload)
                        if aside:
                            said = "%d older file%s in %s" % (
                                aside,
                                " that differs is" if aside == 1 else "s that differ are",
                                layout.replaced_folder(upload.job, upload.attempt),
                            )
                    answers[upload.attempt] = (upload.attempt, ACCEPTED, said)
                except (GateRefused, layout.PathRefused) as error:
                    answers[upload.attempt] = (upload.attempt, REFUSED, str(error))
                except OSError as error:
                    answers[upload.attempt] = self._trouble(upload, error)
            for job in {upload.job for upload in forward}:
                mine = [upload for upload in forward if upload.job == job]
                try:
                    self._settle(job, mine)
                except OSError as error:
                    answers.update({upload.attempt: self._trouble(upload, error) for upload in mine})
        return [answers[upload.attempt] for upload in uploads]

    def _trouble(self, upload: Upload, error: OSError) -> Answer:
        what = frames.trouble(error, self._tree.path)
        return upload.attempt, FULL if isinstance(what, GateFull) else TROUBLE, str(what)

    def reject(self, attempt: str) -> bool:
        """Move an upload to the trash; False if there is none (or it was accepted before)."""
        trash = layout.trash_folder(attempt)
        with self._tree.locked():
            if self._tree.look(layout.incoming_folder(attempt)) is None:
                return False
            self._tree.remove(trash)
            try:
                self._tree.rename(layout.incoming_folder(attempt), trash)
            except FileNotFoundError:
                return False
        self._tree.sync_folder("incoming")
        return True

    def finish(self) -> None:
        """Move forward whatever an earlier life has accepted and not finished."""
        for attempt in self._tree.names("accepted"):
            folder = layout.accepted_folder(attempt)
            record = read_record(self._tree, folder)
            if record is not None:
                self.accept([Upload(attempt, record["job"], files_of(record))])
            elif any(self._tree.files(folder)):
                self._tree.rename(folder, layout.trash_folder(attempt))
            else:
                self._tree.remove(folder)  # all but the removal was done

    def _claim(self, upload: Upload) -> bool:
        """Make the upload accepted; False when all of it was done before. Raises GateRefused."""
        record = read_record(self._tree, layout.accepted_folder(upload.attempt))
        if record is not None:
            _compare(upload, record)
            return True
        record = read_record(self._tree, layout.incoming_folder(upload.attempt))
        if record is None:
            if self._done(upload):
                return False
            raise GateRefused("there is no complete upload of attempt %s" % upload.attempt)
        try:
            _compare(upload, record)
        except GateRefused:
            if not self._done(upload):
                raise
            return False  # accepted long ago; what has come since is worth nothing
        self._check_destinations(upload)
        self._before("accept")
        try:
            self._tree.rename(layout.incoming_folder(upload.attempt), layout.accepted_folder(upload.attempt))
        except FileNotFoundError:
            raise GateRefused("the upload of attempt %s was rejected before" % upload.attempt) from None
        return True

    def _check_destinations(self, upload: Upload) -> None:
        base = layout.job_folder(upload.job) + "/"
        for folder in folders_above(path for path, _size, _digest in upload.files):
            found = self._tree.look((base + folder).rstrip("/"))
            if found is not None and not stat.S_ISDIR(found.st_mode):
                raise GateRefused("%s must be a folder, but in the job's folder it is a file or a link" % (folder or upload.job))
        for path, _size, _digest in upload.files:
            found = self._tree.look(base + path)
            if found is not None and not stat.S_ISREG(found.st_mode):
                raise GateRefused("%s must be a file, but in the job's folder it is a folder or a link" % path)

    def _move(self, upload: Upload) -> int:
        """Move the files forward; how many others were put aside. Raises GateRefused when one is gone: somebody has taken it away."""
        aside = 0
        source = layout.accepted_folder(upload.attempt) + "/files/"
        target = layout.job_folder(upload.job) + "/"
        for path, size, digest in upload.files:
            if upload.keep and self._tree.look(source + path) is not None:
                aside += self._put_aside(upload, path, size, digest)
            self._before("move")
            try:
                self._tree.rename(source + path, target + path, create=True)
            except FileNotFoundError:
                if not self._as_recorded(upload.job, path, size, digest):
                    raise GateRefused(
                        "%s of attempt %s was accepted, but is not there any more" % (path, upload.attempt)
                    ) from None
        return aside

    def _put_aside(self, upload: Upload, path: str, size: int, digest: str) -> bool:
        """Move away what lies where a file is about to go, unless it is the same; whether that was done."""
        place = layout.job_folder(upload.job) + "/" + path
        if self._tree.look(place) is None or self._as_recorded(upload.job, path, size, digest):
            return False
        self._before("put aside")
        aside = layout.replaced_folder(upload.job, upload.attempt) + "/" + path
        self._tree.rename(place, aside, create=True)
        for folder in folders_above([aside]):
            self._tree.sync_folder(folder)
        return True

    def _settle(self, job: str, uploads: Sequence[Upload]) -> None:
        """Enter what was moved in the manifest, make it durable, remove what is left of the uploads."""
        results = {path: digest for upload in uploads for path, _size, digest in upload.files}
        self._before("enter")
        self._manifest(job).add(results)
        self._before("sync")
        for folder in folders_above(results):
            self._tree.sync_folder((layout.job_folder(job) + "/" + folder).rstrip("/"))
        for upload in uploads:
            self._before("remove")
            self._tree.remove(layout.accepted_folder(upload.attempt))

    def _done(self, upload: Upload) -> bool:
        return all(self._as_recorded(upload.job, path, size, digest) for path, size, digest in upload.files)

    def _as_recorded(self, job: str, path: str, size: int, digest: str) -> bool:
        """Whether a result lies in the job's folder as a manifest says; it is read only if SHA256SUMS does not know it."""
        place = layout.job_folder(job) + "/" + path
        found = self._tree.look(place)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return False
        return self._manifest(job).digests().get(path) == digest or digest_of(self._tree, place) == digest

    def _manifest(self, job: str) -> Manifest:
        manifest = self._manifests.pop(job, None) or Manifest(self._tree, job)
        self._manifests[job] = manifest
        if len(self._manifests) > MANIFESTS:
            self._manifests.popitem(last=False)
        return manifest


def read_record(tree: Tree, folder: str) -> Optional[Dict[str, Any]]:
    """The record of an upload, or None when there is no complete one (a power cut may have left a record that cannot be read)."""
    try:
        record: Dict[str, Any] = json.loads(tree.read(folder + "/" + layout.RECORD))
    except (FileNotFoundError, ValueError):
        return None
    return record


def files_of(record: Dict[str, Any]) -> Tuple[Tuple[str, int, str], ...]:
    """The manifest in a record: ``(path, size, sha256)``."""
    return tuple((path, size, digest) for path, size, digest in record["files"])


def digest_of(tree: Tree, path: str) -> str:
    """The sha256 of a file, read whole."""
    descriptor, _found = tree.open(path)
    try:
        digest = hashlib.sha256()
        for data in blocks(descriptor):
            digest.update(data)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def _compare(upload: Upload, record: Dict[str, Any]) -> None:
    if record["job"] != upload.job:
        raise GateRefused("attempt %s was uploaded for job %s, not %s" % (upload.attempt, record["job"], upload.job))
    uploaded: Set[Tuple[str, int, str]] = set(files_of(record))
    if uploaded != set(upload.files):
        odd = sorted(uploaded.symmetric_difference(upload.files))[0][0]
        raise GateRefused("the upload of attempt %s differs from its manifest at %s" % (upload.attempt, odd))
