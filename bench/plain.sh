#!/usr/bin/env bash
# The floor: the same six hosts to the same end with the same files, by plain commands, all hosts at once, one step after
# the other on each. Nothing is checked, compared or kept safe: what a shell script costs that only has to work today.
. "$(dirname "$0")/operator.sh"

each "$dcs $db" give_files
each "$dcs" run_on "consul_installed; consul_server" &
servers=$!
each "$db" run_on "consul_installed; postgres_installed; locales_made; venv_with_pip; vip_manager_installed; patroni_configured"
wait $servers
each "$db" run_on "consul_agent"
run_on "$first" "patroni_started; leader_there"
each "$others" run_on "patroni_started; vip_started; replica_there" &
replicas=$!
run_on "$first" "vip_started"
wait $replicas
run_on "$first" "all_listed; vip_writes"
