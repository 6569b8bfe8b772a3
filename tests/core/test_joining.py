"""VMs that join: which claim takes which key, and whose keys are signed again."""

from boss.core.bindings import CERTIFY_PAUSE, fingerprint
from boss.core.effects import Certify
from boss.core.events import TimePassed, VmCreated, VmDeleted, WorkerSaid
from boss.core.model import Flavor, Pool
from boss.core.requests import Answer, JoinAsked, WorkersDrained, WorkersWanted
from tests.core.scene import GIB, Scene
from worker import protocol as wire

CLOUD = Pool("cloud", "openstack", (Flavor("one", {"cpus": 1, "memory": GIB}),), maximum=4, cooldown=1e6)
KEYS = ("ecdsa-sha2-nistp256 TTTT", "ssh-ed25519 SSSS")
KEY, OTHER = fingerprint(*KEYS), fingerprint("ecdsa-sha2-nistp256 OOOO", "ssh-ed25519 SSSS")


def scene(count: int = 2) -> Scene:
    """Servers for a claim group ``cloud-1``, which are booting."""
    stage = Scene(pools=(CLOUD,))
    stage.answer(WorkersWanted(count, "cloud", 1e6, 1))
    for number in range(1, count + 1):
        stage.turn(VmCreated(f"cloud-{number}", f"uuid-{number}"))
    return stage


def join(stage: Scene, key: str = KEY, **more: object) -> Answer:
    return stage.answer(JoinAsked("cloud-1", key, reply=7, **more))  # type: ignore[arg-type]


def test_a_key_gets_the_claim_of_its_server_with_what_its_flavor_offers() -> None:
    answer = join(scene(), server="uuid-2")
    assert (answer.code, dict(answer.detail)) == (
        200,
        {"worker": "cloud-2", "pool": "cloud", "flavor": "one", "resources": {"cpus": 1, "memory": GIB}},
    )


def test_the_same_key_gets_the_same_answer_and_another_one_for_the_same_server_none() -> None:
    stage = scene()
    assert join(stage, server="uuid-2") == join(stage, server="uuid-2") == join(stage)
    assert join(stage, OTHER, server="uuid-2").code == 403


def test_a_group_has_no_more_keys_than_servers() -> None:
    stage = scene()
    assert [join(stage, key).detail.get("worker") for key in ("a", "b")] == ["cloud-1", "cloud-2"]
    refused = join(stage, "c")
    assert (refused.code, refused.detail["error"]) == (403, "every claim of cloud-1 has its worker already")


def test_a_machine_that_names_another_server_gets_no_claim_whatever_it_is_called() -> None:
    for count in (1, 2):
        stage = scene(count)
        for name in ("", "cloud-1", "cloud-2"):
            refused = join(stage, server="uuid-9", name=name)
            assert refused.code == 403 and "for the server uuid-9" in str(refused.detail["error"])
        assert join(stage, server="uuid-1").detail["worker"] == "cloud-1"  # whose it is comes in all the same


def test_a_claim_whose_server_the_cloud_has_not_named_yet_takes_the_first_that_names_one() -> None:
    stage = Scene(pools=(CLOUD,))
    stage.answer(WorkersWanted(1, "cloud", 1e6, 1))
    stage.turn(VmCreated("cloud-1", ""))
    assert join(stage, server="uuid-7").code == 200
    assert join(stage, OTHER, server="uuid-8").code == 403


def test_an_id_that_firmware_tells_in_the_other_order_of_bytes_is_the_same() -> None:
    stage = Scene(pools=(CLOUD,))
    stage.answer(WorkersWanted(1, "cloud", 1e6, 1))
    stage.turn(VmCreated("cloud-1", "00112233-4455-6677-8899-aabbccddeeff"))
    assert join(stage, server="33221100-5544-7766-8899-aabbccddeeff").detail["worker"] == "cloud-1"


def test_a_token_whose_time_is_over_lets_in_whom_it_has_let_in_before_and_nobody_else() -> None:
    stage = scene()
    assert join(stage, bound=True).code == 403
    assert join(stage).code == 200
    assert join(stage, bound=True).detail["worker"] == "cloud-1"
    assert join(stage, OTHER, bound=True).code == 403


def test_nobody_joins_a_claim_that_is_given_up() -> None:
    stage = scene(1)
    stage.wait(CLOUD.boot_timeout + 60, step=30)
    assert "is deleting" in str(join(stage).detail["error"])
    stage.turn(VmDeleted("cloud-1"))
    assert "not known here" in str(join(stage).detail["error"])


def certify(stage: Scene, worker: str = "cloud-1", keys: tuple[str, str] = KEYS) -> list[Certify]:
    effects = stage.turn(WorkerSaid(worker, wire.Certify("s1", *keys)))
    return [effect for effect in effects if isinstance(effect, Certify)]


def test_the_keys_that_have_joined_are_signed_again() -> None:
    stage = scene()
    join(stage)
    stage.join("cloud-1")
    [signed] = certify(stage, keys=(f"{KEYS[0]} a-comment", KEYS[1]))
    assert (signed.worker, signed.ssh_key) == ("cloud-1", KEYS[1])
    assert certify(stage) == []  # at once again: signing takes time, and nobody needs it
    stage.now += CERTIFY_PAUSE
    assert certify(stage)[0].seq > signed.seq


def test_no_other_keys_are_and_nobodys_whose_claim_has_none() -> None:
    stage = scene()
    join(stage)
    stage.join("cloud-1")
    stage.join("cloud-2")
    assert certify(stage, keys=("ecdsa-sha2-nistp256 OOOO", KEYS[1])) == []
    assert certify(stage, "cloud-2") == []
    assert certify(stage, "stranger") == []


def test_a_worker_whose_claim_is_given_up_gets_no_certificates() -> None:
    stage = scene(1)
    join(stage)
    stage.join("cloud-1")
    stage.turn(WorkersDrained(("cloud-1",), now=True), VmDeleted("cloud-1"))
    stage.turn(TimePassed())
    assert certify(stage) == []


def test_a_fingerprint_is_of_both_keys_and_not_of_comments() -> None:
    assert fingerprint(f"{KEYS[0]} me@vm", f" {KEYS[1]}  x y ") == KEY
    assert len({KEY, OTHER, fingerprint(KEYS[0], "ssh-ed25519 X"), fingerprint(KEYS[1], KEYS[0])}) == 4
