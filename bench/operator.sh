# shellcheck shell=bash
# What plain.sh and tuned.sh share: running something on a host, on many at once, and waiting for all of them.
# The environment has for each host PID_name (of its init), and FILES, the directory that capture.py filled.
set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
steps=$(cat "$bench/steps.sh")
dcs="test-dcs1 test-dcs2 test-dcs3" db="test-db1 test-db2 test-db3"
first=test-db1 others="test-db2 test-db3"

# on HOST COMMANDS…: run the commands on the host, with the functions of steps.sh. (exec: the pipeline's end is nsenter's.)
on() {
    local host=$1 pid
    pid=PID_${host//-/_}
    shift
    nsenter -t "${!pid}" -m -u -i -n -p -r -w -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root bash -c "$*" </dev/null
}

run_on() { on "$1" "$steps"$'\n'"$2"; }

give_files() {
    local pid=PID_${1//-/_}
    nsenter -t "${!pid}" -m -r -w -- sh -c 'mkdir -m 0700 /root/bench && tar -x -C /root/bench' < "$FILES/$1.tar"
}

# each "HOSTS" FUNCTION ARGUMENTS…: at once on all hosts; fails when one of them does.
each() {
    local jobs=() host job
    for host in $1; do
        "$2" "$host" "${@:3}" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job"; done
}
