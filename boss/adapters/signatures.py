"""The signature of a push, looked at as early as can be: the workers look again, and it is they who decide."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from boss.taskfile.context import SignedPush
from boss.taskfile.problems import Problem, Refused
from worker import signed as documents
from worker.signed import DocumentWrong, NotSigned
from worker.trust import KEY_TYPES, NAMESPACE, TrustError, claim_of, names_of, read_signers, split
from worker.verify import SignatureRefused, check_self, verify_signature


def verified(path: str, cluster: str, owner: str, signers: Mapping[str, str], now: float) -> SignedPush:
    """The signed document at a path. Raises Refused with what is wrong with it.

    ``signers`` are the texts of the pools' ``allowed_signers``, by pool; where there is none, any key may sign. ``now`` in Unix seconds.
    """
    data = Path(path).read_bytes()
    try:
        signature, message = split(data)
        claim = claim_of(signature)
        document = documents.read(message)
        if claim.key_type not in KEY_TYPES:
            raise _refused(f"the key is of type {claim.key_type}: jobs are signed with Ed25519 keys (ssh-keygen -t ed25519)")
        trusting = {
            pool: text
            for pool, text in signers.items()
            if any(key.fingerprint == claim.fingerprint for key in read_signers(text))
        }
        if signers and not trusting:
            known = {pool: ", ".join(names_of(read_signers(text))) for pool, text in sorted(signers.items())}
            whom = "; ".join(f"pool {pool} trusts {names}" for pool, names in known.items())
            remedy = "ask for a line with this key in its allowed_signers, or sign with another one"
            raise _refused(f"the key {claim.fingerprint} is not known here ({whom}): {remedy}")
        signer = document.owner
        for text in trusting.values():
            signer = verify_signature(signature, message, text).name
        if not trusting:
            check_self(signature, message)
        documents.check_validity(document, cluster, now)
    except (TrustError, DocumentWrong) as error:
        raise _refused(f"the signed document {error}") from None
    except (SignatureRefused, NotSigned) as error:
        raise _refused(str(error)) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise _refused(f"the boss could not look at the signature ({NAMESPACE}): {error}") from None
    if document.owner != owner:
        raise _refused(f"the document was signed for {document.owner} to push, and this is {owner}'s token")
    return SignedPush(document, hashlib.sha256(data).hexdigest(), claim.fingerprint, signer, tuple(sorted(trusting)))


def _refused(message: str) -> Refused:
    return Refused([Problem("", "signature", message)])
