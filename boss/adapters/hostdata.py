"""User data for the two servers that stay: the datastore's and the boss's own, with a volume for the data."""

from pathlib import Path

from boss.adapters.userdata import LONGEST, TEMPLATES, UserDataError, sent, templates

#: Of which servers there are templates.
KINDS = ("datastore", "boss")


def host_data(kind: str, ssh_key: str, volume: str = "", repository: str = "") -> str:
    """The user data of a datastore's or a boss's server. Raises UserDataError.

    ``ssh_key`` is the admin's public key, ``volume`` the device that will hold the data (empty: the server's own disk), ``repository``
    where a boss's server gets this project from by itself; without one it waits until somebody has brought it.
    """
    key = ssh_key.strip()
    if len(key.splitlines()) != 1 or not key.split()[0].startswith(("ssh-", "ecdsa-", "sk-")) or len(key.split()) < 2:
        raise UserDataError("the SSH key is none: one line such as `ssh-ed25519 AAAA... me@here` is wanted (a .pub file)")
    if volume and not volume.startswith("/dev/"):
        raise UserDataError(f"--volume {volume}: the device is named as the server has it, such as /dev/vdb")
    data = Path(TEMPLATES, "ecloud-data.sh").read_text()
    text = (
        templates().get_template(f"{kind}.cloud-config.j2").render(ssh_key=key, volume=volume, repository=repository, data=data)
    )
    if sent(text) > LONGEST:
        raise UserDataError(f"the user data would have {sent(text)} bytes, and clouds take {LONGEST}")
    return text
