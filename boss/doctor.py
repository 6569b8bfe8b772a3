"""``python -m boss doctor|deploy|backup|restore|adopt``: what runs without a boss. ``run`` is the one entry.

Rules:
- ``doctor`` prints one line for each check, with the remedy; ``--json`` one document and nothing else.
- Exit codes: 0 all is well (notes included), 1 something failed, 2 wrong usage or settings.
- A back-up is made beside a running boss; a restore needs one that does not run.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from boss import backup, config, deploy
from boss.adapters.hostdata import KINDS
from boss.certificate_checks import examine_certificates
from boss.checks import Finding, Verdict, examine, python
from boss.notify_checks import examine_targets


def run(argv: Sequence[str]) -> int:
    """Run ``doctor [--json]``, ``deploy datastore USER@HOST[:PORT] --root PATH``, ``deploy broker HOST --to DIR``,
    ``deploy servers``, ``deploy key``, ``deploy user-data KIND --ssh-key FILE``, ``backup PATH``,
    ``restore PATH [--force]`` or ``adopt``; the exit code."""
    options = _parser().parse_args(argv)
    return _doctor(options.json) if options.command == "doctor" else _change(options)


def diagnose() -> list[Finding]:
    """Every check; only the first two when the settings cannot be read."""
    try:
        settings = config.load()
        clouds = _examine_clouds(settings) if settings.clouds else []
        return [*examine(settings), *examine_certificates(settings), *clouds, *examine_targets(settings)]
    except config.SettingsError as error:
        wrong = [Finding("settings", Verdict.FAILED, line, "see docs/settings.md") for line in str(error).splitlines()]
        return [python(), *wrong]


def _examine_clouds(settings: config.BossConfig) -> Iterator[Finding]:
    from boss.cloud_checks import examine_clouds  # noqa: PLC0415 (openstacksdk takes long to load)

    return examine_clouds(settings)


def _doctor(as_json: bool) -> int:
    findings = diagnose()
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            print(f"{finding.verdict.value:<6}  {finding.check:<12}  {finding.detail}{remedy}")
    return 1 if any(finding.verdict is Verdict.FAILED for finding in findings) else 0


def _change(options: argparse.Namespace) -> int:
    try:
        lines = _done(options, config.load())
    except config.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (deploy.DeployError, backup.BackupError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _done(options: argparse.Namespace, settings: config.BossConfig) -> list[str]:
    match options.command:
        case "backup":
            return backup.backup(settings, options.target)
        case "restore":
            return backup.restore(settings, options.source, options.force)
        case "adopt":
            return backup.adopt(settings)
    if options.what == "servers":
        return _deploy_servers(options, settings)
    if options.what == "key":
        return deploy.key(settings)
    if options.what == "user-data":
        return [deploy.user_data(options.kind, options.ssh_key, options.volume, options.repository)]
    if options.what == "datastore":
        return deploy.datastore(settings, options.address, options.root)
    return deploy.broker(settings, options.host, options.port, options.to, options.at)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m boss",
        usage="python -m boss [--standby | COMMAND ...]",
        description="Without a command: start the boss; it stays until Ctrl-C, and prints `ready: ADDRESS` when jobs can be pushed. "
        "With --standby: first wait until no other boss holds the database.",
    )
    commands = parser.add_subparsers(dest="command", required=True, prog="python -m boss", title="commands", metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="look at everything that the boss needs, and say what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON document")
    deployment = commands.add_parser("deploy", help="prepare another host").add_subparsers(dest="what", required=True)
    datastore = deployment.add_parser("datastore", help="make a host the datastore, by the log-in that you have there")
    datastore.add_argument("address", metavar="USER@HOST[:PORT]")
    datastore.add_argument("--root", required=True, metavar="PATH", help="ecloud's folder on that host")
    broker = deployment.add_parser("broker", help="write what a Mosquitto on another host needs")
    broker.add_argument("host", metavar="HOST", help="its name or address, as boss and workers will call it")
    broker.add_argument("--port", type=int, default=8883, help="its TLS port (8883)")
    broker.add_argument("--to", type=Path, required=True, metavar="DIR", help="where to write the files")
    broker.add_argument("--at", type=Path, default=Path("/etc/mosquitto/ecloud"), metavar="DIR", help="where they will lie there")
    data = deployment.add_parser("user-data", help="print what a new server is given to start with, to become one")
    data.add_argument("kind", choices=KINDS, help="what it becomes")
    data.add_argument("--ssh-key", type=Path, required=True, metavar="FILE", help="your public key: lets you in there as ecloud")
    data.add_argument("--volume", default="", metavar="DEVICE", help="the volume for the data, as the server has it (/dev/vdb)")
    data.add_argument("--repository", default="", metavar="URL", help="where a boss's server clones this project from")
    _add_servers(
        deployment.add_parser("servers", help="make the servers of boss and datastore in a cloud, and start the boss there")
    )
    deployment.add_parser("key", help="print the key by which a datastore host knows this boss")
    saving = commands.add_parser("backup", help="write database and keys into one file; the boss may run")
    saving.add_argument("target", metavar="PATH", help="a new file, or a folder that exists")
    restoring = commands.add_parser("restore", help="bring a back-up into this boss's database and state folder")
    restoring.add_argument("source", type=Path, metavar="PATH", help="a back-up, or a folder: its newest one")
    restoring.add_argument("--force", action="store_true", help="put a database and keys that are in use aside")
    commands.add_parser("adopt", help="make a database safe to use that was restored by other means")
    return parser


def _add_servers(servers: argparse.ArgumentParser) -> None:
    add = servers.add_argument
    add("--ssh-key", type=Path, default=_own_key(), metavar="FILE", help="your public key: lets you in there as ecloud")
    add("--pool", default="", metavar="P", help="the pool of the settings by which the cloud is known (its first)")
    add("--only", default="", choices=("boss", "datastore"), help="one of the two; a boss alone keeps its data itself")
    add("--name", default="ecloud", metavar="NAME", help="the servers are called NAME-boss and NAME-datastore (ecloud)")
    add("--image", default="", metavar="I", help="the pool's if not given")
    add("--flavor", default="", metavar="F", help="the pool's first if not given")
    add("--security-group", action="append", default=[], metavar="G", help="the pool's if not given; may be repeated")
    add("--floating-network", default="", metavar="N", help="a floating IP from there; the pool's if not given")
    add("--volume", type=int, default=0, metavar="GIB", help="a volume for the datastore's data (its own disk if not given)")
    add("--boss-volume", type=int, default=0, metavar="GIB", help="a volume for the boss's data (its own disk if not given)")
    add("--wheels", type=Path, metavar="DIR", help="Python packages to take along, where the server has no way to PyPI")
    add("--trust-first", action="store_true", help="believe a host key that the console does not show")


def _own_key() -> Path:
    """The public key that a user probably means."""
    folder = Path("~/.ssh").expanduser()
    names = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])


def _deploy_servers(options: argparse.Namespace, settings: config.BossConfig) -> list[str]:
    from boss.deploy_servers import Wish, deploy_servers  # noqa: PLC0415 (openstacksdk takes long to load)

    wish = Wish(
        options.ssh_key,
        options.pool,
        options.only,
        options.name,
        options.image,
        options.flavor,
        tuple(options.security_group),
        options.floating_network,
        options.volume,
        options.boss_volume,
        options.wheels,
        options.trust_first,
    )
    return deploy_servers(settings, wish, lambda line: print(line, flush=True))
