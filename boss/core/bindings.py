"""Which keys a worker on a VM has: bound to its claim when it joins, and the only ones that are signed again. Part of the reactor.

Rules:
- A fingerprint names both public keys, so that neither can be changed for another.
- Certificates are renewed for the keys that joined, and for nobody whose claim is given up.
"""

from hashlib import sha256

from boss.core import fleet
from boss.core.effects import Certify
from boss.core.model import Worker
from boss.core.state import LIVE_VMS, State
from worker import protocol as wire

#: The least time between two renewals of one worker's certificates, in seconds.
CERTIFY_PAUSE = 0.5


def fingerprint(tls_key: str, ssh_key: str) -> str:
    """One name for a worker's two public keys (OpenSSH's form; comments do not count): sha256 in hex."""
    return sha256(b"\n".join(" ".join(key.split()[:2]).encode() for key in (tls_key, ssh_key))).hexdigest()


def on_certify(state: State, worker: Worker, message: wire.Certify) -> None:
    """A worker asks for new certificates: it gets them for the keys that it has joined with."""
    vm = state.vms.get(worker.id)
    if vm is None or not vm.key or vm.state not in LIVE_VMS or vm.key != fingerprint(message.tls_key, message.ssh_key):
        state.stale += 1
        return
    if state.last_turn - worker.certified < CERTIFY_PAUSE:
        state.stale += 1  # signing takes time: nobody needs it that often
        return
    worker.certified = state.last_turn
    state.out.append(Certify(worker.id, message.tls_key, message.ssh_key, fleet.next_seq(worker)))
