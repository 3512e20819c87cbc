# shellcheck shell=bash
# What tuned.sh does otherwise than plain.sh does; after steps.sh.
postgres_user() {
    groupadd --system postgres
    useradd --system --gid postgres --home-dir /var/lib/postgresql --create-home --shell /bin/bash postgres
}

venv_without_pip() {
    local wheel pip
    wheel=$(ls /usr/share/python-wheels/pip-*.whl)
    pip=(/opt/patroni/bin/python "$wheel/pip" install --quiet --no-input --no-cache-dir --disable-pip-version-check
        --no-compile --no-warn-script-location --no-index --find-links "$WHEELS" --trusted-host "$MIRROR_HOST"
        --require-hashes --no-deps --no-build-isolation --use-pep517)
    export PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore
    python3 -m venv --without-pip /opt/patroni
    "${pip[@]}" -r setuptools.txt
    "${pip[@]}" -r requirements.txt
    chown -R postgres: /opt/patroni
    mark "Patroni installed"
}

# The leader looks at its members at the end of its loop, ten seconds at worst; a change of nothing wakes it.
woken() {
    local members
    members=$(http GET "$LEADER/8008" /cluster)
    [[ $members == *"\"name\": \"$NAME\""* ]] &&
        status PATCH "$LEADER/8008" /config "Authorization: Basic $RESTAPI" '{"bench_wake": null}'
}
