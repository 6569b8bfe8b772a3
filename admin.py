#!/usr/bin/env python3
"""The command line of ecloud: asks the boss through ``client`` and prints. `./admin.py --help`, docs/commands.md."""

from launch import under_venv

under_venv(__file__)

from collections.abc import Callable  # noqa: E402

import typer  # noqa: E402

from client.commands import accounts, changing, ears, files, fleet, frame, looking, notifying, reporting, sharing, sweeps  # noqa: E402

ABOUT = """Look at and steer an ecloud boss.

TARGET is JOB, JOB:ID, JOB:GLOB ('ising:run-*'), or an id. The boss is the one of this machine, or that of
ECLOUD_API_URL and ECLOUD_TOKEN."""
MORE = """With --json a command prints one JSON document. `COMMAND --help` says more, docs/commands.md all.
Exit codes: 0 done, 1 something failed, 2 wrong usage, 3 boss not reachable, 4 no permission, 130 Ctrl-C."""

app = typer.Typer(cls=frame.Commands, no_args_is_help=True, help=ABOUT, epilog=MORE)

PANELS: dict[str, list[Callable[..., None]]] = {
    "Jobs and tasks": [
        looking.status,
        looking.why,
        files.logs,
        looking.show_jobs,
        looking.show_tasks,
        looking.show_task,
        looking.show_queued,
        looking.show_in_progress,
        looking.show_failed,
        looking.show_succeeded,
        looking.show_graph,
        looking.listen,
    ],
    "Results": [files.fetch, sweeps.table, reporting.report],
    "Steer jobs": [
        changing.cancel,
        changing.pause,
        changing.resume,
        changing.redo_task,
        changing.retry_failed,
    ],
    "Shared data": [sharing.put, sharing.show_shared],
    "Workers and VMs": [
        looking.show_workers,
        looking.show_vms,
        fleet.show_pools,
        fleet.set_pool,
        fleet.drain_worker,
        fleet.terminate_workers,
        fleet.add_host,
        fleet.remove_host,
        fleet.console,
        fleet.debug,
        fleet.vm_leaks,
        fleet.shutdown,
    ],
    "The boss": [
        files.doctor,
        notifying.notify_test,
        looking.show_context,
        changing.set_datastore,
        fleet.set_boss_address,
        changing.drop_context,
        files.adopt,
    ],
    "Accounts": [
        accounts.create_token,
        accounts.revoke_token,
        accounts.show_tokens,
        ears.create_listener,
        ears.revoke_listener,
        ears.show_listeners,
        accounts.audit,
    ],
}

for panel, commands in PANELS.items():
    for command in commands:
        app.command(command.__name__, rich_help_panel=panel)(command)
app.command("open", rich_help_panel="Workers and VMs")(fleet.open_fleet)
app.command("instantiate_worker", cls=fleet.KeepAliveCommand, rich_help_panel="Workers and VMs")(fleet.instantiate_worker)

passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app.command("deploy", rich_help_panel="The boss", context_settings=passed_on)(files.deploy)

if __name__ == "__main__":
    frame.run(app)
