#!/usr/bin/env bash
# Called by `./dev bench` with PG_BIN, the folder of PostgreSQL's programs. Measures the product and pgbench side by side, on
# one fresh embedded cluster in a folder of its own, which goes when the script ends, however it ends.
set -euo pipefail
repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
here=$repository/scripts
# shellcheck source=scripts/bench_lib.sh
. "$here/bench_lib.sh"

help() {
    cat <<'TEXT'
./dev bench [--quick] [--transactions N] [--history-first] [--output FILE] [--set NAME=VALUE]...

Measures recharges, reads and sign-ins over HTTP beside pgbench, and recharges by message where there is RabbitMQ, and
writes docs/performance.md (about 13 minutes; end other programs first: server, PostgreSQL and load generator share the cores).

--quick            a tenth of the time and of the stored transactions; prints, and writes only with --output
--transactions N   transactions stored before the own ones are read (10,000,000; quick: 1,000,000)
--history-first    store them before everything else, so that recharges too are measured at that size
--output FILE      where the report goes; what is between its "by hand" lines stays
--set NAME=VALUE   a setting of the server (see .env.example); the report tells it

GENCHARGE_BENCH_BIN_DIR  folder with gencharge and gencharge-loadgen, instead of building them
GENCHARGE_BENCH_DIR      where the fresh data folder is made (/var/tmp; needs a real disk: 36 GB, quick 10 GB)
GENCHARGE_BENCH_PORT     first of two TCP ports on 127.0.0.1 (18080)
It ends after 15 minutes, done or not (with more than 10 million transactions it may not be done).
Exit code: 1 when something is wrong (an invariant broken, a deadlock, requests that failed), whatever the figures are.
TEXT
}

quick=0 history_first=0 transactions="" output="" extra=()
while (($#)); do
    case $1 in
    --quick) quick=1 ;;
    --history-first) history_first=1 ;;
    --transactions) transactions=${2:?--transactions N} && shift ;;
    --output) output=${2:?--output FILE} && shift ;;
    --set) extra+=("${2:?--set NAME=VALUE}") && shift ;;
    -h | --help) help && exit 0 ;;
    *) help >&2 && fail "no such option: $1" ;;
    esac
    shift
done

if ((quick)); then
    users=20000 pgbench_s=6 warm_s=1 peak_s=5 sustained_s=10 pair_s=5 read_s=4 messages=20000 need_gb=10 log_files=80
    transactions=${transactions:-1000000}
else
    users=100000 pgbench_s=30 warm_s=3 peak_s=10 sustained_s=60 pair_s=15 read_s=10 messages=200000 need_gb=36 log_files=320
    transactions=${transactions:-10000000}
    output=${output:-$repository/docs/performance.md}
fi
[[ $transactions =~ ^[1-9][0-9]{0,8}$ ]] || fail "--transactions: a number from 1 to 999999999"
for name in "${extra[@]}"; do
    [[ $name == GENCHARGE_*=* ]] || fail "--set $name: give GENCHARGE_NAME=VALUE"
done
[[ -z $output || $output == /* ]] || output=$PWD/$output
shared_wallets=10000 warm_messages=2000
base_port=${GENCHARGE_BENCH_PORT:-18080}
bin=${GENCHARGE_BENCH_BIN_DIR:-} prebuilt=${GENCHARGE_BENCH_BIN_DIR:+1}
parent=${GENCHARGE_BENCH_DIR:-/var/tmp}
: "${PG_BIN:?run it as ./dev bench}"

# --- the steps ---------------------------------------------------------------------------------------------------

prepare() {
    step "Preparing"
    if [[ -z $bin ]]; then
        (cd "$repository" && cargo build --release --locked --workspace --bins)
        bin=${CARGO_TARGET_DIR:-$repository/target}/release
    fi
    SECONDS=0
    bin=$(cd "$bin" && pwd)
    for program in "$bin/gencharge" "$bin/gencharge-loadgen" "$PG_BIN/psql" "$PG_BIN/pgbench"; do
        [[ -x $program ]] || fail "$program is missing"
    done
    make_home "$parent" "$need_gb"
    disk_write_us=$(durable_write_us)
    load_before=$(cut -d' ' -f1 /proc/loadavg)
    clear_environment
    settings=(
        "GENCHARGE_DATA_DIR=$home/data" "GENCHARGE_PG_BIN=$PG_BIN" GENCHARGE_MAX_QUEUED_PLANS=1000
        GENCHARGE_DEV_OTP=1 GENCHARGE_OTP_PER_HOUR=1000 "${extra[@]}"
    )
    reserve_huge_pages
    start_app 0
    find_cluster
    tool 120 seed --demo
    tool 300 seed --load-users "$users" --balance 100000000 --tokens "$home/tokens" --token-ttl 6h
    head -n "$shared_wallets" "$home/tokens" >"$home/tokens.shared"
    sql gencharge "VACUUM (ANALYZE)"
    age_log
}

# PostgreSQL writes its log into files that it used before. Only a new database makes one every 16 MB, and syncs it, while
# every writer waits: that is over after its first checkpoint at size, so it is got over here.
age_log() {
    local file
    for ((file = 0; file < log_files; file++)); do
        echo "SELECT pg_logical_emit_message(false, 'bench', ''); SELECT pg_switch_wal();"
    done >"$home/age_log.sql"
    bounded 120 "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$socket" -U gencharge -d gencharge -o /dev/null -f "$home/age_log.sql"
    sql gencharge CHECKPOINT
}

# (a) The same rows, one transaction at a time.
measure_pgbench() {
    step "pgbench, the same rows one transaction at a time, ${pgbench_s} s"
    local url="DATABASE_URL=postgres://gencharge@localhost:5432/pgbench?host=$socket" phones price name days
    sql gencharge "CREATE DATABASE pgbench"
    tool_with "$url" 120 migrate
    tool_with "$url" 120 seed --demo
    tool_with "$url" 300 seed --load-users "$users" --balance 100000000 --tokens /dev/null
    sql pgbench "VACUUM (ANALYZE)"
    IFS='|' read -r -a phones < <(sql pgbench "SELECT min(phone), max(phone), min(phone - user_id), count(*)
        FROM users WHERE phone BETWEEN 916000000000 AND 916599999999 HAVING count(DISTINCT phone - user_id) = 1")
    ((${phones[3]:-0} == users)) || fail "the load customers' numbers do not follow their ids: pgbench cannot choose among them"
    IFS='|' read -r name price days < <(sql pgbench "SELECT plan_name, price, coalesce(validity, 30) FROM plans WHERE plan_id = 1")
    sql gencharge CHECKPOINT
    # The session settings of the product's own writers.
    local options="-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off -c plan_cache_mode=force_generic_plan"
    cpu_begin
    local code=0
    PGOPTIONS=$options bounded $((pgbench_s + 60)) "$PG_BIN/pgbench" -h "$socket" -U gencharge -n -M prepared -c 16 -j 2 \
        -T "$pgbench_s" -l --log-prefix "$home/pgbench" -f "$here/pgbench_recharge.sql" \
        -D "first_phone=${phones[0]}" -D "last_phone=${phones[1]}" -D "phone_offset=${phones[2]}" \
        -D plan=1 -D "plan_name=$name" -D "price=$price" -D "rupees=$((price / 100)).00" -D "days=$days" \
        pgbench >"$home/pgbench.out" 2>&1 || code=$?
    sleep 0.5 # its backends are about to end: each must be seen either running or ended
    cpu_end
    ((code == 0)) || { cat "$home/pgbench.out" >&2; fail "pgbench failed"; }
    record_pgbench
    tool_with "$url" 120 verify || fail "what pgbench wrote breaks an invariant: it does not write the same rows"
    no_deadlocks pgbench
    sql gencharge "DROP DATABASE pgbench"
}

# (b) and (c)
measure_recharges() {
    local all=(--tokens "$home/tokens" --plan-id 1)
    warm_up recharge 256 "${all[@]}"
    measure r64 "recharge, peak" 64 "$peak_s" recharge "${all[@]}" --seed 2
    measure r256 "recharge, peak" 256 "$peak_s" recharge "${all[@]}" --seed 3
    measure sustained "recharge, sustained" 256 "$sustained_s" recharge "${all[@]}" --seed 4
    warm_up hot 256 "${all[@]}"
    measure hot "recharge, one payer for all" 256 "$peak_s" hot "${all[@]}" --seed 5
}

# (e) Both processes write the same wallets; 256 connections in all in either case.
measure_pair() {
    local few=(--tokens "$home/tokens.shared" --plan-id 1)
    warm_up recharge 256 "${few[@]}"
    measure one "recharge, 10,000 wallets, one process" 256 "$pair_s" recharge "${few[@]}" --seed 6
    start_app 1
    step "recharge, 10,000 wallets, two processes, 256 connections, ${pair_s} s"
    lag_begin
    cpu_begin
    start_load pair0 0 128 "$pair_s" recharge "${few[@]}" --seed 7
    start_load pair1 1 128 "$pair_s" recharge "${few[@]}" --seed 8
    end_loads
    cpu_end
    lag_end
    drain
    record_load two "recharge, 10,000 wallets, two processes" 256 pair0 pair1
    stop_app 1
}

store_history() {
    step "Storing $transactions past transactions"
    local begun=$SECONDS
    tool 600 seed --transactions "$transactions"
    # As it would be long after they were written.
    bounded 300 "$PG_BIN/psql" -X -q -h "$socket" -U gencharge -d gencharge -c "VACUUM (ANALYZE)" -c CHECKPOINT
    say "$((SECONDS - begun)) s"
}

# Recharges that a partner asks for by message: the broker, the application and the publisher on the same cores.
measure_messages() {
    if [[ ! -x $rabbitmq_server ]]; then
        say "--- recharges by message: not measured, there is no RabbitMQ ($rabbitmq_server)"
        return
    fi
    step "recharges by message, $messages of them"
    stop_app 0
    start_rabbitmq "$home/rabbitmq" || fail "RabbitMQ did not start"
    start_app 0 "AMQP_URL=$rabbitmq_url"
    make_partner $(((messages + warm_messages) * 300))
    write_messages "$home/messages" 0 "$warm_messages"
    publish "$home/messages" "$warm_messages"
    until_committed "$warm_messages" 60
    until_told 60
    measure_published "$messages"
    stop_app 0
    end_rabbitmq
    start_app 0
}

# (d)
measure_reads() {
    warm_up get 64 --path /plans/public/all
    measure plans "public plans" 64 "$read_s" get --path /plans/public/all
    warm_up get 64 --path /recharge/my/transactions --auth --tokens "$home/tokens"
    measure own "own transactions" 64 "$read_s" get --path /recharge/my/transactions --auth --tokens "$home/tokens" --seed 9
    measure login "login + verify" 64 "$read_s" login --tokens "$home/tokens"
}

# (f)
check_everything() {
    step "Checking every invariant"
    drain
    no_deadlocks gencharge
    stored=$(sql gencharge "SELECT (SELECT count(*) FROM transactions) || ' transactions, ' || (SELECT count(*) FROM notifications)
        || ' notifications, ' || pg_size_pretty(pg_database_size(current_database()))")
    postgres_version=$(sql gencharge "SHOW server_version")
    shared_buffers=$(sql gencharge "SHOW shared_buffers") pages=$(kind_of_pages)
    tool 420 verify || fail "an invariant is broken: the figures are worth nothing"
    logged=$(find "$home" -maxdepth 1 -name 'access-*.log' -exec cat {} + | wc -l)
    stop_app 0
    # What the report says of the conditions must be so.
    ((logged > 0)) || fail "the access log is empty: these are not figures with everything on"
    [[ -n $metrics_lag_seen ]] || fail "/metrics does not tell the outbox's lag: these are not figures with everything on"
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
prepare
((history_first == 0)) || store_history
measure_pgbench
measure_recharges
measure_pair
measure_messages
((history_first)) || store_history
measure_reads
check_everything
took=$SECONDS
# shellcheck source=scripts/bench_report.sh
. "$here/bench_report.sh"
write_report
((failures == 0)) || fail "some requests failed, see above: the figures are worth little"
