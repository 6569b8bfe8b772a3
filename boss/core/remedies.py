"""Sentences with the command that helps, for those who are told that something failed."""


def push_again(job: str) -> str:
    """What to do instead of a retry when what was pushed is not what should run."""
    push = f"`push_tasks.py FILE --job {job} --merge keep-succeeded` (only what failed) or `--merge changed` (all that reads it)"
    return f"After you changed a pushed file or the task file: {push}."
