# shellcheck shell=bash
# What one host does, as functions; plain.sh and tuned.sh call them on the hosts. Plain commands, waits by condition.
# /root/bench has this host's rendered files (capture.py) and `env`: addresses, URLs, hashes, tokens.
set -euo pipefail
cd /root/bench
# shellcheck disable=SC1091
. ./env
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
consul_api=127.0.0.1/8500 patroni_api=$ADDRESS/8008

mark() { printf '@ %s %s: %s\n' "$EPOCHREALTIME" "$NAME" "$1"; }

# until_true SECONDS COMMAND…: asks every 0.1 s.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { echo "$NAME: never true: ${*:0:4}" >&2; return 1; }
        sleep 0.1
    done
}

# http METHOD ADDRESS/PORT PATH [HEADER [BODY]]: prints the answer, head included; no client is installed on a bare host.
http() {
    local head=${4-} body=${5-}
    (
        exec 3<>"/dev/tcp/$2"
        printf '%s %s HTTP/1.0\r\n%sContent-Length: %d\r\n\r\n%s' "$1" "$3" "${head:+$head$'\r\n'}" "${#body}" "$body" >&3
        cat <&3
    ) 2>/dev/null
}
status() { [ "$(http "$1" "$2" "$3" "${4-}" "${5-}" | head -c 12 | tail -c 3)" = 200 ]; }
with() { echo "X-Consul-Token: $1"; }
token_works() { status GET "$consul_api" '/v1/acl/token/self?stale' "$(with "$1")"; }

download() { /usr/lib/apt/apt-helper -qq download-file "$1" "$2" ${3:+"SHA256:$3"} >/dev/null; }

consul_installed() {
    cp files/etc/hosts /etc/hosts
    groupadd --system consul
    useradd --system --gid consul --home-dir /var/lib/consul --no-create-home --shell /usr/sbin/nologin consul
    install -d /opt/consul/"$CONSUL_VERSION"
    install -d -o root -g consul -m 0750 /etc/consul.d
    install -d -o consul -g consul -m 0750 /var/lib/consul /var/lib/consul/data /var/log/consul
    download "$CONSUL_URL" /root/bench/consul.zip "$CONSUL_HASH"
    unzip -q consul.zip -d /opt/consul/"$CONSUL_VERSION"
    ln -sfn /opt/consul/"$CONSUL_VERSION"/consul /usr/bin/consul
    rm consul.zip
    install -o root -g consul -m 0640 files/etc/consul.d/config.json /etc/consul.d/
    install -m 0644 files/etc/systemd/system/consul.service /etc/systemd/system/
}

consul_server() {
    install -o root -g consul -m 0640 preset.json /etc/consul.d/acl-bootstrap.json
    systemctl daemon-reload
    systemctl enable --now --quiet consul
    mark "Consul started"
    until_true 120 token_works "$MANAGEMENT"
    mark "management token works"
    if [ "$NAME" = "$FIRST_SERVER" ]; then
        for payload in acl/policy-*.json; do
            until_true 60 status PUT "$consul_api" /v1/acl/policy "$(with "$MANAGEMENT")" "$(cat "$payload")"
        done
        for payload in acl/token-*.json; do
            until_true 60 status PUT "$consul_api" /v1/acl/token "$(with "$MANAGEMENT")" "$(cat "$payload")"
        done
    fi
    # An agent that is told "ACL not found" believes it for 30 s: every server knows every token first.
    for token in $TOKENS; do until_true 60 token_works "$token"; done
    until_true 60 status PUT "$consul_api" /v1/agent/token/agent "$(with "$MANAGEMENT")" "{\"Token\": \"$AGENT\"}"
    rm /etc/consul.d/acl-bootstrap.json
    install -m 0600 files/root/.consul-token /root/
    install -m 0644 files/etc/profile.d/pgha-consul.sh /etc/profile.d/
    mark "ACLs are set up"
}

joined() { http GET "$consul_api" "/v1/health/node/$NAME" "$(with "$AGENT")" | grep -q '"CheckID":"serfHealth".*"Status":"passing"'; }
consul_agent() {
    systemctl daemon-reload
    systemctl enable --now --quiet consul
    until_true 60 joined
    mark "agent joined"
}

postgres_installed() {
    install -m 0644 files/etc/apt/sources.list.d/pgha-postgres.list /etc/apt/sources.list.d/
    download "$KEY_URL" /etc/apt/keyrings/pgha-postgres.asc
    apt-get -qq update
    apt-get -qq -y install --no-install-recommends "postgrespro-1c-$POSTGRES_VERSION" python3-venv locales >/dev/null 2>&1
    systemctl disable --now --quiet "postgrespro-1c-$POSTGRES_VERSION"
    mark "PostgreSQL installed"
}

locales_made() {
    printf '%s\n' 'ru_RU.UTF-8 UTF-8' 'en_US.UTF-8 UTF-8' >>/etc/locale.gen
    locale-gen --keep-existing >/dev/null
    mark "locales made"
}

vip_manager_installed() {
    install -d /opt/vip-manager/"$VIP_VERSION" /etc/vip-manager
    download "$VIP_URL" /root/bench/vip.tar.gz "$VIP_HASH"
    tar -xzf vip.tar.gz -C /opt/vip-manager/"$VIP_VERSION" --no-same-owner
    ln -sfn /opt/vip-manager/"$VIP_VERSION"/vip-manager /usr/bin/vip-manager
    rm vip.tar.gz
    install -m 0600 files/etc/vip-manager/vip-manager.yml /etc/vip-manager/
    install -m 0644 files/etc/systemd/system/vip-manager.service /etc/systemd/system/
}

as_postgres() { (cd / && umask 022 && HOME=/opt/patroni runuser -u postgres -- "$@"); }

# The pip of the environment itself, as everybody does it.
venv_with_pip() {
    local pip=(/opt/patroni/bin/pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --no-index
        --find-links "$WHEELS" --trusted-host "$MIRROR_HOST" --require-hashes --no-deps --no-build-isolation --use-pep517)
    install -d -o postgres -g postgres -m 0755 /opt/patroni
    install -o postgres -g postgres -m 0644 requirements.txt setuptools.txt /opt/patroni/
    as_postgres python3 -m venv /opt/patroni
    as_postgres "${pip[@]}" -r /opt/patroni/setuptools.txt
    as_postgres "${pip[@]}" -r /opt/patroni/requirements.txt
    mark "Patroni installed"
}

patroni_configured() {
    install -d -o postgres -g postgres -m 0700 /etc/patroni
    install -d -o postgres -g postgres -m 0750 /var/log/patroni
    install -d /pgdata
    install -d -o postgres -g postgres -m 0700 "$DATA_DIR"
    for name in patroni.yml pgpass.check; do
        install -o postgres -g postgres -m 0600 files/etc/patroni/$name /etc/patroni/
    done
    install -m 0644 files/etc/profile.d/pgha-patroni.sh /etc/profile.d/
    install -m 0644 files/etc/systemd/system/patroni.service /etc/systemd/system/
    systemctl daemon-reload
}

leads() { status GET "$patroni_api" /leader; }
streams() { http GET "$patroni_api" /patroni | grep -q '"replication_state": "streaming"'; }
patroni_started() { systemctl enable --now --quiet patroni; }
leader_there() {
    until_true 120 leads
    mark "leader"
}
replica_there() {
    until_true 120 streams
    mark "streams"
}
listed() { [ "$(http GET "$patroni_api" /cluster | grep -o '"state": "streaming"' | wc -l)" = 2 ]; }
all_listed() {
    until_true 120 listed
    mark "two streaming replicas listed"
}

vip_started() { systemctl enable --now --quiet vip-manager; }
writes() {
    as_postgres env PGHOST="$VIP" PGUSER=rewind PGDATABASE=postgres PGPASSFILE=/etc/patroni/pgpass.check PGCONNECT_TIMEOUT=1 \
        "$BIN_DIR/psql" -Xqw -v ON_ERROR_STOP=1 -c "SELECT pg_logical_emit_message(true, 'bench', 'a write')"
}
vip_writes() {
    until_true 60 writes
    mark "the virtual IP takes a write"
}
