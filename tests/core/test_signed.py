"""Signed jobs and the workers that run nothing else: who is given what, what is bought for whom, and what is said."""

from dataclasses import replace

from boss.core.events import VmCreated, WorkerSaid
from boss.core.model import Flavor, Pool, Signature, Template
from boss.core.picture import publish
from boss.core.requests import WhyAsked
from boss.core.templates import template_from_data, template_to_data
from tests.core.scene import GIB, Scene, bag
from worker.protocol import Hello
from worker.trust import TrustedKey, marks

ADA, EVE = TrustedKey("SHA256:ada", "ada"), TrustedKey("SHA256:eve", "eve")
SECURE = Pool("secure", "local", (Flavor("one", {"cpus": 1, "memory": GIB}),), signers=(ADA,))
OPEN = Pool("open", "local", (Flavor("two", {"cpus": 1, "memory": GIB}, 5.0),), maximum=1)


def by(key: TrustedKey = ADA, expires: float = 1e12) -> Signature:
    """A signature of entry 3 of a document."""
    return Signature("ab" * 32, 3, key.fingerprint, key.name, expires)


def pools(scene: Scene) -> list[str]:
    return [vm.pool for vm in scene.state.vms.values()]


def join(scene: Scene) -> str:
    """The only claim's worker comes up, with its pool's marks."""
    (name,) = scene.state.vms
    pool = scene.state.pool(scene.state.vms[name].pool)
    assert pool is not None
    scene.turn(VmCreated(name, "server", "127.0.0.1"))
    resources = {**pool.flavors[0].resources, **(marks(pool.signers) if pool.signers else {})}
    scene.turn(WorkerSaid(name, Hello("s1", 0, 0, resources, {})))
    return name


def why(scene: Scene, name: str = "t0") -> str:
    answer = scene.answer(WhyAsked("job", name, 1))
    return " ".join(answer.detail["why"])  # type: ignore[arg-type]


def test_a_signed_job_is_dealt_with_what_its_worker_needs_to_verify_it() -> None:
    scene = Scene(pools=(SECURE,))
    scene.push(bag(1, signed=by()))
    worker = join(scene)
    (assignment,) = scene.dealt(worker)
    assert (assignment.document, assignment.entry, assignment.row) == ("ab" * 32, 3, 0)


def test_an_unsigned_job_is_told_nothing_of_documents() -> None:
    scene = Scene(pools=(OPEN,))
    scene.push(bag(1))
    (assignment,) = scene.dealt(join(scene))
    assert (assignment.document, assignment.entry, assignment.row) == ("", 0, 0)


def test_nothing_is_bought_and_nothing_dealt_for_what_a_pool_would_not_run_and_why_names_the_remedy() -> None:
    for signature, how in ((None, "it is not signed"), (by(EVE), "it is signed with SHA256:eve")):
        scene = Scene(pools=(replace(SECURE, minimum=1),))
        scene.wait(2)
        worker = join(scene)
        scene.push(bag(2, signed=signature))
        scene.wait(30)
        assert scene.dealt(worker) == [] and len(scene.state.vms) == 1
        said = why(scene)
        assert f"pool secure takes only jobs that are signed by ada, and {how}." in said
        assert said.endswith(
            "`push_tasks.py FILE --job job --merge replace --sign KEY` pushes it again, signed with a key that is trusted."
        )


def test_an_unsigned_job_takes_the_dearer_pool_that_runs_it() -> None:
    scene = Scene(pools=(SECURE, OPEN))
    scene.push(bag(2))
    scene.wait(3)
    assert pools(scene) == ["open"]
    assert "Pool secure could hold it, and takes only jobs that are signed by a key that it trusts." in why(scene, "t1")


def test_a_signed_job_may_run_where_nobody_asks_for_a_signature() -> None:
    scene = Scene(pools=(OPEN,))
    scene.push(bag(1, signed=by(EVE)))
    (assignment,) = scene.dealt(join(scene))
    assert (assignment.document, assignment.entry, assignment.row) == ("", 0, 0)  # it would make nothing of it


def test_a_host_that_its_owner_lets_run_signed_work_only_is_given_nothing_else() -> None:
    scene = Scene(pools=(OPEN,))
    scene.push(bag(1))
    (name,) = scene.state.vms
    scene.turn(VmCreated(name, "server", "127.0.0.1"))
    scene.turn(WorkerSaid(name, Hello("s1", 0, 0, {"cpus": 1, "memory": GIB, **marks([ADA])}, {})))
    assert scene.dealt(name) == []


def test_when_the_time_of_a_signature_is_over_nothing_more_is_started() -> None:
    scene = Scene(pools=(replace(SECURE, maximum=1),))
    scene.push(bag(3, signed=by(expires=scene.state.wall(scene.now) + 20)))
    worker = join(scene)
    assert len(scene.dealt(worker)) == 1
    scene.now += 21
    scene.finish(worker, "u1.0.1")
    scene.wait(60)
    assert len(scene.dealt(worker)) == 1 and scene.states() == {"t0": "succeeded", "t1": "ready", "t2": "ready"}
    assert why(scene, "t2").startswith(
        "It was signed by ada, for the time until 1970-01-01 00:17 UTC: nothing of it is started any more."
    )


def test_what_a_worker_did_not_run_because_it_was_not_signed_so_is_not_tried_again_and_everybody_sees_it() -> None:
    scene = Scene(pools=(SECURE,))
    scene.push(bag(1, signed=by(), retries=5))
    worker = join(scene)
    scene.finish(worker, "u1.0.1", "failed", phase="verify", reason="its commands: ('true',) was signed", exit_code=None)
    scene.wait(60)
    assert scene.states() == {"t0": "failed"} and len(scene.dealt(worker)) == 1
    said = why(scene)
    assert "Attempt 1 failed in phase verify: its commands: ('true',) was signed." in said and "Nothing of it was run" in said
    notes = publish(scene.state, scene.now, 0.0).notes
    assert any(note.startswith("NOT WHAT WAS SIGNED (1 x") and "job:t0" in note for note in notes)


def test_a_template_is_stored_with_its_signature_and_an_unsigned_one_as_it_always_was() -> None:
    signed = Template(0, "t", ("true",), signed=by())
    assert template_from_data(template_to_data(signed)) == signed
    assert "signed" not in template_to_data(Template(0, "t", ("true",)))
