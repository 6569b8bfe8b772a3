#!/usr/bin/env python3
"""Pushes a task file to the boss: `./push_tasks.py x.json --watch`. The job's name is the last line on stdout."""

from launch import under_venv

under_venv(__file__)

import typer  # noqa: E402

from client.commands import frame, pushing  # noqa: E402

app = typer.Typer()
app.command("push_tasks")(pushing.push_tasks)

if __name__ == "__main__":
    frame.run(app)
