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
    assert why(scene, "b").startswith(
        "It waits for 1 of 1 dependencies: a (ready). a is ready: No worker is there that can hold it;"
    )


def test_a_chain_is_followed_down_to_what_it_comes_down_to() -> None:
    scene = Scene()
    scene.push(chain("a", "b", "c", "d", "e", "f", "g", "h"))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    text = why(scene, "h")
    assert text.startswith("It waits for 1 of 1 dependencies: g (waiting).")
    assert "g waits for f, that for e, that for d, that for ... (2 more), that for a." in text
    assert "a is running: It runs on local-1 since" in text
    assert "waits for" not in why(scene, "b").split("a is running", 1)[1]


def test_what_can_never_run_is_the_end_of_a_chain_too() -> None:
    scene = Scene()
    scene.push(chain("a", "b", needs={"cpus": 64}))
    assert "a is ready: No VM of any pool can hold it: it needs cpus 64" in why(scene, "b")
    assert "Ask for less in the task file" in why(scene, "b")


def test_what_goes_first_by_its_priority_is_counted() -> None:
    scene = Scene()
    scene.push(bag(6, priority=5))
    scene.push(bag(2), name="low")
    scene.join("local-1")
    scene.join("local-2")
    assert "4 of them go first: their `priority` is up to 5, and that of this one is 0." in why(scene, "t0", "low")
    assert "go first" not in why(scene, "t5")


def test_a_task_that_is_tried_again_says_when_and_out_of_which_budget() -> None:
    scene = Scene()
    scene.push(bag(2, retries=3))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=2, reason="exit code 2")
    text = why(scene, "t0")
    assert "exit code 2. It is tried again in about 2" in text and "(1 of 3 retries used)" in text
    assert "`admin.py logs job:t0`" in text
    scene.finish("local-1", "u1.1.1", "failed", phase="infrastructure", reason="no folder")
    assert "(1 of 5 losses that are repeated without asking; its retries are not touched)" in why(scene, "t1")


# ---- pools ---------------------------------------------------------------------------------------------------------------


def why_pool(scene: Scene, pool: str = "local") -> tuple[str, str]:
    answer = scene.answer(WhyAsked("", pool, 1))
    assert answer.code == 200
    return str(answer.detail["state"]), " ".join(answer.detail["why"])  # type: ignore[arg-type]


def test_a_pool_says_what_it_has_and_that_nothing_more_is_needed() -> None:
    scene = Scene()
    state, text = why_pool(scene)
    assert state == "open"
    assert text == "Pool local (local) has 0 of at most 2 VM(s). No task is ready that its VMs could hold, so none is needed."


def test_a_full_pool_names_the_setting_that_would_help() -> None:
    scene = Scene()
    scene.push(bag(5))
    scene.join("local-1")
    scene.join("local-2")
    state, text = why_pool(scene)
    assert state == "full"
    assert "has 2 of at most 2 VM(s): 2 joined." in text and "`maximum`" in text and "3 ready task(s) could run" in text


def test_a_paused_pool_says_why_until_when_and_what_checks_it() -> None:
    scene = Scene()
    scene.push(bag(1))
    for number in range(1, 4):
        scene.turn(VmCreateFailed(f"local-{number}", "no fork"))
        scene.wait(20)
    state, text = why_pool(scene)
    assert state in ("paused", "waiting")
    assert "no fork" in text and " s" in text and "`admin.py doctor" in text


def test_nobody_of_that_name_is_no_pool() -> None:
    assert Scene().answer(WhyAsked("", "nobody", 1)).code == 404


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
