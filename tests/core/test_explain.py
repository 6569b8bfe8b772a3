"""Why a task waits: the sentences."""

from boss.core.events import VmCreateFailed
from boss.core.requests import JobPaused, TasksCancelled, WhyAsked
from tests.core.scene import Scene, bag, chain


def why(scene: Scene, task: str, job: str = "job") -> str:
    answer = scene.answer(WhyAsked(job, task, 1))
    assert answer.code == 200
    return " ".join(answer.detail["why"])  # type: ignore[arg-type]


def test_what_waits_names_its_dependencies() -> None:
    scene = Scene()
    scene.push(chain("a", "b"))
    assert why(scene, "b") == "It waits for 1 of 1 dependencies: a (ready)."


def test_what_no_vm_can_hold_says_what_is_lacking() -> None:
    scene = Scene()
    scene.push(bag(1, needs={"cpus": 1, "gpus": 2}))
    assert "it needs gpus 2 (the largest VM has gpus 0)" in why(scene, "t0")


def test_a_coming_vm_is_named() -> None:
    scene = Scene()
    scene.push(bag(1))
    assert "1 VM(s) of pool local are coming up." in why(scene, "t0")


def test_a_pool_that_backs_off_says_why() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.turn(VmCreateFailed("local-1", "no fork"))
    assert "no fork" in why(scene, "t0")


def test_full_workers_and_a_maximum_are_named() -> None:
    scene = Scene()
    scene.push(bag(5))
    scene.join("local-1")
    scene.join("local-2")
    text = why(scene, "t4")
    assert "All 2 worker(s) that can hold it are full" in text
    assert "maximum of 2" in text


def test_a_paused_job_names_the_command_that_resumes_it() -> None:
    scene = Scene()
    scene.push(bag(5))
    scene.turn(JobPaused("job"))
    assert "`admin.py resume job`" in why(scene, "t4")


def test_a_failure_names_phase_code_and_remedy_and_a_skip_its_cause() -> None:
    scene = Scene()
    scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=2, reason="exit code 2")
    assert why(scene, "a").startswith(
        "Attempt 1 failed in phase run: exit code 2. `admin.py logs job:a` shows all that it wrote. Mend"
    )
    assert "`admin.py retry_failed job:a`: it runs again as it was pushed." in why(scene, "a")
    assert "After you changed a pushed file or the task file: `push_tasks.py FILE --job job --merge keep-succeeded`" in why(
        scene, "a"
    )
    assert why(scene, "b").startswith("It was skipped because a failed")


def test_an_exit_code_is_told_beside_a_reason_that_does_not_name_it() -> None:
    scene = Scene()
    scene.push(chain("a"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="upload", exit_code=0, reason="output x is missing")
    assert why(scene, "a").startswith("Attempt 1 failed in phase upload, exit code 0: output x is missing. ")


def test_every_state_has_an_answer() -> None:
    scene = Scene()
    scene.push(bag(3))
    scene.join("local-1")
    assert "starts as soon as" in why(scene, "t0")
    scene.start("local-1", "u1.0.1")
    assert "It runs on local-1" in why(scene, "t0")
    scene.finish("local-1", "u1.0.1")
    assert "It succeeded" in why(scene, "t0")
    scene.turn(TasksCancelled("job", "t2"))
    assert "cancelled" in why(scene, "t2")
    assert scene.answer(WhyAsked("job", "nope", 1)).code == 404
