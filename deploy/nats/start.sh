#!/bin/bash
# nats-server with the arguments given, started anew until the cluster counts all its nodes.
#
# Nodes of 2.10 that meet for the first time now and then (about one start in thirty) elect a leader that
# never hears one of them. Its group stays at two of three for good, and no stream with three replicas can be
# placed ("no suitable peers for placement"). The one left out is heard once its routes are made anew; as it
# cannot know that it is the one, all but the leader start anew.
set -uo pipefail

nodes=${NATS_NODES:?how many nodes the cluster has} # from the compose file
patience=4   # seconds a leader has to count everyone; it takes one heartbeat, a second
restarts=5   # then it is as the operator wants it: a node may have been removed
child='' status=0

# What this node knows of the metadata group. It ends at the end of the answer, or after 2 s.
group() {
    exec 3<>/dev/tcp/127.0.0.1/8222 || return 1
    printf 'GET /jsz HTTP/1.0\r\n\r\n' >&3
    timeout 2 cat <&3
    exec 3>&-
} 2>/dev/null

# Whether another leads and counts too few nodes. Judged when the same one has led for `patience` seconds:
# before anybody is counted a node shows the number that it expects. One that leads looks on, because the
# next leader may leave it out.
left_out() {
    local leader='' since=0 answer
    while kill -0 "$child" 2>/dev/null; do
        answer=$(group)
        if [[ ! $answer =~ \"leader\":\ \"([^\"]+)\" ]]; then
            leader=''
        elif [ "${BASH_REMATCH[1]}" != "$leader" ]; then
            leader=${BASH_REMATCH[1]} since=$SECONDS
        elif ((SECONDS - since >= patience)); then
            if [[ $answer =~ \"cluster_size\":\ $nodes[^0-9] ]]; then return 1; fi
            if [ "$leader" != "$NATS_NAME" ]; then return 0; fi
        fi
        sleep 0.5
    done
    return 1
}

stop() {
    restarts=0
    kill -TERM "$child" 2>/dev/null
}
trap stop TERM INT
trap 'kill -HUP "$child" 2>/dev/null' HUP

while true; do
    nats-server "$@" &
    child=$!
    if ((restarts > 0)) && left_out && ((restarts-- > 0)); then
        echo "the cluster counts fewer than $nodes nodes: starting anew" >&2
        kill -TERM "$child"
        wait "$child"
        sleep "0.$((RANDOM % 10))"
        continue
    fi
    # A signal that is handled ends a wait early.
    while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done
    exit "$status"
done
