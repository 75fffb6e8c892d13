# shellcheck shell=bash
# Writes the report of bench.sh: what was measured, against what was wanted, on which machine.
# shellcheck disable=SC2154

begin_mark='<!-- by hand: ./dev bench keeps what is between these two lines -->'
end_mark='<!-- /by hand -->'

describe_machine() {
    local model memory commit changed="" builder="programs built before"
    [[ -n $prebuilt ]] || builder=$(rustc --version)
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    memory=$(awk '/^MemTotal/ { printf "%.1f", $2 / 1048576 }' /proc/meminfo)
    commit=$(git -C "$repository" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
    [[ -z $(git -C "$repository" status --porcelain --untracked-files=no 2>/dev/null) ]] || changed=" with uncommitted changes"
    cat <<TEXT
| | |
|---|---|
| When | $(date -u +%Y-%m-%d), $((took / 60)) min $((took % 60)) s |
| Code | commit $commit$changed, $builder |
| Processor | $(nproc) cores, ${model:-unknown model} (server, PostgreSQL and load generator share them) |
| Memory | $memory GiB |
| System | Linux $(uname -r) $(uname -m); $file_system; a durable 8 kB write takes $disk_write_us us |
| PostgreSQL | $postgres_version, embedded, fsync and synchronous_commit on, shared_buffers $shared_buffers in $pages |
| Load before | $load_before (1 minute average) |
| Settings | development, GENCHARGE_MAX_QUEUED_PLANS=1000${extra[*]:+, ${extra[*]}} |
| At the end | $stored; $logged lines in the access log |
TEXT
}

# The measurements; CPU in microseconds for one operation.
measurements() {
    echo "| | Connections | ops/s | p50 ms | p99 ms | CPU us/op: app | PostgreSQL | generator | Outbox lag, most | Empty after |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    awk -F'\t' '
        function seconds(ms) { return ms == "" ? "" : sprintf("%.1f s", ms / 1000) }
        function each(ms) { return $4 ? sprintf("%.1f", ms * 1000 / $4) : "" }
        function quantile(ms) { return ms == "" ? "" : sprintf("%.1f", ms) }
        { printf "| %s | %d | %d | %s | %s | %s | %s | %s | %s | %s |\n", $2, $3, $5, quantile($6), quantile($7), each($9),
            each($10), each($11), seconds($12), seconds($13) }' "$home/results.tsv"
}

# One line a target: what, wanted, measured, and how far from it.
targets() {
    echo "| Target | Wanted | Measured | Reached |"
    echo "|---|--:|--:|--:|"
    awk -F'\t' '
        function line(what, wanted, measured, share) {
            printf "| %s | %s | %s | %s |\n", what, wanted, measured, \
                share == "" ? "" : sprintf("%d %%%s", share * 100, share >= 1 ? "" : " **short**")
        }
        function atleast(what, wanted, measured) { line(what, ">= " wanted, int(measured), measured / wanted) }
        function ratio(what, wanted, a, b) { line(what, ">= " wanted, sprintf("%.2f", b ? a / b : 0), b ? a / b / wanted : 0) }
        function atmost(what, wanted, unit, measured) {
            line(what, "<= " wanted " " unit, sprintf("%.1f %s", measured, unit), measured ? wanted / measured : 1)
        }
        { rate[$1] = $5; p99[$1] = $7; lag[$1] = $12 }
        END {
            atleast("Recharges/s, peak at 256 connections", 20000, rate["r256"])
            atmost("their p99", 25, "ms", p99["r256"])
            ratio("times pgbench", "5", rate["r256"], rate["pgbench"])
            atleast("Recharges/s, peak at 64 connections", 12000, rate["r64"])
            atleast("Recharges/s, sustained at 256 connections", 10000, rate["sustained"])
            atmost("their outbox lag", 5, "s", lag["sustained"] / 1000)
            ratio("One payer for all, of the spread peak", "0.7", rate["hot"], rate["r256"])
            ratio("Two processes, of one", "0.7", rate["two"], rate["one"])
            if ("messages" in rate) atleast("Recharges by message/s, published to committed", 8000, rate["messages"])
            atleast("Public plans/s", 50000, rate["plans"])
            atleast("Own transactions/s", 5000, rate["own"])
        }' "$home/results.tsv"
}

# What the table has no column for.
messages_told() {
    if [[ -z ${messages_broker_us:-} ]]; then
        echo "Recharges by message were not measured: there was no RabbitMQ."
        return
    fi
    echo "$messages recharges were published by a partner to RabbitMQ's queue (\`gencharge publish\`, confirmed, on the same cores) and paid from its"
    echo "one wallet; the time is from the start of the publisher to the last commit. The broker itself used $messages_broker_us us of CPU for a message;"
    echo "customers and administrators had all been told $((told_ms / 1000)) s after the last commit."
}

by_hand() {
    local kept=""
    [[ ! -f $output ]] || kept=$(awk -v from="$begin_mark" -v to="$end_mark" '$0 == to { inside = 0 } inside { print } $0 == from { inside = 1 }' "$output")
    [[ -n $kept ]] || kept=$'\n## What the limit is\n\nNot written yet.'
    printf '%s\n%s\n\n%s\n' "$begin_mark" "$kept" "$end_mark"
}

report() {
    cat <<TEXT
# Performance

Written by \`./dev bench\`$( ((quick)) && echo " --quick: short runs, only to try it"). One run on one machine, everything on it: signed
tokens checked, idempotency keys, access log to a file, metrics, outbox relay and notifications.

## Measured

$(measurements)

"Failed" is whatever was not answered 2xx: $failures in this run. pgbench (16 clients, prepared, the session settings of the product's
writers, the same cluster) writes the rows of a recharge in a transaction of its own; \`gencharge verify\` passes on what it leaves.
It does not check plans, offers and limits, and has no relay and no notifications.
Before it, $log_files files of PostgreSQL's log (16 MB each) were used and freed, as they are in a database that ran for a while: a new
one makes each when it needs it, which costs both sides pauses.
Recharges are paid from the wallets of $users customers. The two processes have 128 connections each, the one 256.
Own transactions are read with $transactions past transactions stored$( ((history_first)) && echo ", as is everything else").
$(messages_told)
The outbox's lag is the age of the oldest event that is not delivered, asked every second by SQL and of \`/metrics\`; the
larger answer counts.
\`gencharge verify\` at the end: clean; no deadlocks.

## Against the targets

$(targets)

$(by_hand)

## The machine

$(describe_machine)
TEXT
}

write_report() {
    report >"$home/report.md"
    cat "$home/report.md"
    ((failures == 0)) && [[ -n $output ]] || return 0
    mkdir -p -- "$(dirname -- "$output")"
    cp -- "$home/report.md" "$output"
    say "written to $output"
}
