#!/bin/sh
# setup.sh FOLDER: what a worker finds when it starts: the users that run tasks, and Python packages for them. Repeating it changes nothing.
folder=$1
# shellcheck source=/dev/null
. "$folder/ecloud.conf"

if [ -n "$packages" ]; then
    missing=$(for package in $packages; do dpkg -s "${package%%=*}" >/dev/null 2>&1 || echo "$package"; done)
    # shellcheck disable=SC2086  # one word each
    if [ -n "$missing" ]; then
        export DEBIAN_FRONTEND=noninteractive
        { apt-get -q update && apt-get -q install --yes --no-install-recommends $missing; } >&2 ||
            echo "ecloud: not all of these packages could be installed: $missing" >&2
    fi
fi
if [ -n "$task_user" ] && [ "$(id -u)" = 0 ]; then
    id "$task_user" >/dev/null 2>&1 ||
        useradd --system --user-group --create-home --home-dir "/home/$task_user" --shell /bin/bash "$task_user" ||
        echo "ecloud: there is no user $task_user, and it cannot be made" >&2
    # Each task has a number of its own, as worker/users.py says. The first ones get a name, which some programs want.
    first=2000400000 last=2000499999 number=1 most=$(nproc)
    if [ "$most" -gt 64 ]; then most=64; fi
    while [ "$number" -le "$most" ]; do
        id "$task_user-$number" >/dev/null 2>&1 ||
            useradd --system --no-log-init --no-create-home --no-user-group --gid "$task_user" --uid "$((first + number))" \
                --home-dir "/home/$task_user" --shell /bin/bash "$task_user-$number" 2>/dev/null || break
        number=$((number + 1))
    done
    # Tasks do not see the join token, nor whatever else the cloud tells this server: its metadata service has no way for their users.
    if command -v ip >/dev/null; then
        ip rule show | grep -q "uidrange $first-$last.*prohibit" ||
            ip rule add pref 100 uidrange "$first-$last" to 169.254.169.254/32 prohibit ||
            echo "ecloud: tasks can reach the metadata service: ip rule has failed" >&2
        ip -6 rule show 2>/dev/null | grep -q "uidrange $first-$last.*prohibit" ||
            ip -6 rule add pref 100 uidrange "$first-$last" to fe80::a9fe:a9fe/128 prohibit 2>/dev/null
    fi
fi
if [ -s "$folder/requirements.txt" ] && ! cmp -s "$folder/requirements.txt" "$folder/python/installed"; then
    (
        umask 022
        python3 -m venv --system-site-packages "$folder/python" &&
            "$folder/python/bin/python3" -m pip install --quiet --disable-pip-version-check -r "$folder/requirements.txt" >&2 &&
            cp "$folder/requirements.txt" "$folder/python/installed"
    ) || echo "ecloud: not all Python packages could be installed; see $folder/requirements.txt" >&2
fi
exit 0
