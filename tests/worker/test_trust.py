"""worker.trust and worker.verify: whom a machine trusts, and what a signature says of itself."""

import threading
from pathlib import Path

import pytest

from tests.signing import Key, digest_of, document, signed
from worker.protocol import Assignment
from worker.trust import KEY_TYPES, VERIFIES, TrustError, claim_of, marks, read_signers, split, trusts, without_marks
from worker.verify import SignatureRefused, Verifier, signers_file, verifier_of, verify_signature


@pytest.fixture
def ada(tmp_path: Path) -> Key:
    """A signer."""
    return Key(tmp_path, "ada")


def test_keys_and_their_first_names_are_read_from_all_forms_of_a_line(ada: Key, tmp_path: Path) -> None:
    bob = Key(tmp_path, "bob")
    blob = " ".join(bob.public.split()[:2])
    text = f'# people\n\n{ada.line}"bob,robert@x.org" namespaces="ecloud-job",valid-before="20991231" {blob} a comment\n'
    assert [tuple(key) for key in read_signers(text)] == [(ada.fingerprint, "ada"), (bob.fingerprint, "bob")]


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "names no key"),
        ("# nobody\n", "names no key"),
        ("ada\n", "line 1: is no line of allowed_signers"),
        ("\nada ssh-rsa AAAA\n", "line 2: a key of type ssh-rsa: jobs are signed with Ed25519 keys"),
        ("ada ssh-ed25519 AAAA\n", "is no key of type ssh-ed25519"),
        ("ada ssh-ed25519 !\n", "is no key of type ssh-ed25519"),
        ("ada cert-authority ssh-ed25519 AAAA\n", "cert-authority is not supported"),
    ],
)
def test_a_file_that_says_something_else_is_an_error_that_names_the_line(text: str, because: str) -> None:
    with pytest.raises(TrustError, match=because):
        read_signers(text)


def test_marks_name_the_trusted_keys_and_are_no_resources(ada: Key) -> None:
    found = marks(read_signers(ada.line))
    assert found == {VERIFIES: 1.0, trusts(ada.fingerprint): 1.0}
    assert without_marks({"cpus": 2.0, **found}) == {"cpus": 2.0}


def test_a_signature_tells_its_key_and_purpose_and_garbage_tells_nothing(ada: Key) -> None:
    data = signed(ada, document())
    signature, message = split(data)
    assert claim_of(signature) == (KEY_TYPES[0], ada.fingerprint, "ecloud-job")
    assert message.startswith(b'{"format"')
    for wrong in (b"", b"{}", b"-----BEGIN SSH SIGNATURE-----\n", data[:100], b"\xff" * 100):
        with pytest.raises(TrustError):
            split(wrong)
    lines = signature.splitlines()
    for text in ("", "x", "\n".join([lines[0], "!!!!", lines[-1]]), "\n".join([lines[0], lines[1][:8], lines[-1]])):
        with pytest.raises(TrustError):
            claim_of(text)


def test_a_signature_holds_for_the_very_bytes_until_the_key_is_no_more_trusted(ada: Key) -> None:
    message = b"a job"
    signature = ada.sign(message).decode()
    assert verify_signature(signature, message, ada.line).name == "ada"
    with pytest.raises(SignatureRefused, match="of ada does not hold"):
        verify_signature(signature, message + b" ", ada.line)
    over = ada.line.replace("ssh-ed25519", 'valid-before="20200101" ssh-ed25519', 1)
    with pytest.raises(SignatureRefused, match="of ada does not hold"):
        verify_signature(signature, message, over)


def test_the_owner_of_a_machine_overrules_what_the_boss_said_whom_to_trust(ada: Key, tmp_path: Path) -> None:
    own, told = tmp_path / "own", tmp_path / "told"
    assert verifier_of("", "c1", str(own)) is None
    told.write_text(ada.line)
    assert signers_file(str(told), str(own)) == str(told)
    own.write_text(Key(tmp_path, "bob").line)
    verifier = verifier_of(str(told), "c1", str(own))
    assert verifier is not None and [key.name for key in verifier.keys] == ["bob"]


def test_a_file_that_others_may_write_or_that_names_nobody_is_an_error(ada: Key, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("# nobody yet\n")
    with pytest.raises(TrustError, match="own: names no key"):
        verifier_of("", "c1", str(own))
    own.write_text(ada.line)
    own.chmod(0o666)
    with pytest.raises(TrustError, match="chmod go-w"):
        verifier_of("", "c1", str(own))


def test_who_has_a_document_that_is_known_does_not_wait_for_one_that_is_on_its_way(ada: Key) -> None:
    verifier = Verifier(ada.line, "c1")
    known, slow = signed(ada, document()), signed(ada, document("other"))

    def order(data: bytes, uid: str, job: str) -> Assignment:
        return Assignment(f"{uid}.0.1", job, "t", ("true",), needs={"cpus": 1}, timeout=60.0, document=digest_of(data))

    assert verifier.verify(order(known, "u", "j"), lambda: known).job == "j"
    asked, come = threading.Event(), threading.Event()

    def fetch() -> bytes:
        asked.set()
        come.wait()
        return slow

    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(verifier.verify(order(slow, "v", "other"), fetch).job))
    thread.start()
    asked.wait()
    waiting = threading.Thread(target=lambda: found.append(verifier.verify(order(known, "u", "j"), lambda: b"").job))
    waiting.start()
    waiting.join(20)
    before = list(found)
    come.set()
    thread.join()
    assert before == ["j"]
    assert found == ["j", "other"]
