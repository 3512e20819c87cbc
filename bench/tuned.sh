#!/usr/bin/env bash
# The floor with every lever pulled that is known: packages, locales, environment and Consul overlap on each host; one host
# builds the environment, without a pip of its own and without byte code, and ships it to the others, which have the same
# Python at the same path; the leader is woken when a replica has registered.
. "$(dirname "$0")/operator.sh"

tuned=$(cat "$bench/steps-tuned.sh")
tuned_on() { on "$1" "$steps"$'\n'"$tuned"$'\n'"$2"; }

# Consul's binary is there early, the agent starts as soon as the servers know its token.
packages() {
    case $1 in
    "$first") tuned_on "$1" "mark 'files there'; postgres_user
        { postgres_installed; patroni_configured; } & packages=\$!
        locales_made & locales=\$!
        { consul_installed; vip_manager_installed; } & binaries=\$!
        venv_without_pip
        for job in \$packages \$locales \$binaries; do wait \$job; done" ;;
    *) tuned_on "$1" "postgres_user
        { postgres_installed; patroni_configured; } & packages=\$!
        locales_made & locales=\$!
        consul_installed; vip_manager_installed
        for job in \$packages \$locales; do wait \$job; done" ;;
    esac
}
# Patroni writes byte code beside its modules when it first runs: tar then tells by 1 that a directory has changed.
ship() {
    on "$first" "tar -C /opt --exclude=__pycache__ -c patroni || [ \$? = 1 ]" </dev/null | receive "$1"
}
receive() {
    local pid=PID_${1//-/_}
    nsenter -t "${!pid}" -m -r -w -- tar -C /opt -x
}

each "$dcs $db" give_files
each "$dcs" tuned_on "consul_installed; consul_server" &
servers=$!
each "$db" packages
each "$others" ship &
shipped=$!
wait $servers
tuned_on "$first" "consul_agent; patroni_started; leader_there; vip_started" &
founder=$!
each "$others" tuned_on "consul_agent"
wait $founder $shipped
each "$others" tuned_on "patroni_started; vip_started; until_true 60 woken; replica_there" &
replicas=$!
wait $replicas
tuned_on "$first" "all_listed; vip_writes"
