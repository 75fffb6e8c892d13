# shellcheck shell=bash
# What bench.sh is made of: the fresh folder and its end, the servers, bounded commands, CPU times, the outbox's lag, load,
# messages.
# Read by bench.sh, which sets: bin, base_port, settings, socket's cluster (find_cluster), warm_s.
# shellcheck disable=SC2154,SC2034

say() { printf '%s\n' "$*" >&2; }
fail() { say "bench: $*"; exit 1; }
step() { say "--- $* (at $((SECONDS / 60)):$(printf %02d $((SECONDS % 60))))"; }

# shellcheck source=scripts/servers.sh
. "$here/servers.sh"

rabbitmq_pid=0 # process id
home="" socket="" cluster="" cluster_home="" failures=0 metrics_lag_seen=""
apps=(0 0) # process ids
deadline=900 # for everything but the build, in seconds

# --- the folder --------------------------------------------------------------------------------------------------

# make_home PARENT GIGABYTES
make_home() {
    local kind free
    kind=$(stat -f -c %T "$1") || fail "$1: no such folder; choose one with GENCHARGE_BENCH_DIR"
    [[ $kind != tmpfs && $kind != ramfs ]] || fail "$1 is in memory: durable writes would cost nothing there; choose a disk with GENCHARGE_BENCH_DIR"
    free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
    ((free >= $2)) || fail "$1 has $free GB free, $2 are needed; choose another with GENCHARGE_BENCH_DIR, or use --quick"
    # Where a socket's path may go to 107 bytes.
    ((${#1} <= 50)) || fail "GENCHARGE_BENCH_DIR=$1 is too long for a socket: at most 50 characters"
    home=$(mktemp -d "$1/gencharge-bench.XXXXXX")
    chmod 711 "$home" # as root PostgreSQL runs as another user, who must get through
    file_system=$kind
}

# What one durable 8 kB write takes, in microseconds.
durable_write_us() {
    local begun=${EPOCHREALTIME/[.,]/}
    dd if=/dev/zero of="$home/write" bs=8k count=500 oflag=dsync status=none
    printf '%d' $(((${EPOCHREALTIME/[.,]/} - begun) / 500))
    rm -f -- "$home/write"
}

huge_pages_file=/proc/sys/vm/nr_hugepages huge_pages_before=""

# Huge pages for PostgreSQL's memory, as docs/operations.md advises, where this user may reserve them. PostgreSQL takes them by
# itself when there are enough: a fifth of the memory for its buffers, and something for the rest.
reserve_huge_pages() {
    [[ -w $huge_pages_file ]] || return 0
    read -r huge_pages_before <"$huge_pages_file"
    awk -v before="$huge_pages_before" '/^MemTotal/ { buffers = $2 / 5; if (buffers > 8388608) buffers = 8388608
        print before + int((buffers * 17 / 16 + 65536) / 2048) }' /proc/meminfo >"$huge_pages_file"
}

give_huge_pages_back() {
    [[ -z $huge_pages_before ]] || echo "$huge_pages_before" >"$huge_pages_file"
}

# In which pages PostgreSQL's memory is; it may have fallen back to ordinary ones.
kind_of_pages() {
    local postmaster
    read -r postmaster <"$cluster/postmaster.pid"
    awk '/^HugetlbPages/ { huge = $2 } END { print (huge > 0 ? "huge" : "ordinary") " pages" }' "/proc/$postmaster/status"
}

# What happens to be set for other runs must not change this one.
clear_environment() {
    local name
    for name in "${!GENCHARGE_@}" "${!PG@}" DATABASE_URL MONGODB_URL REDIS_URL AMQP_URL; do
        [[ $name == PG_BIN ]] || unset "$name"
    done
}

# Waits until a process that this script started has ended, for at most SECONDS; then kills it.
end_process() {
    local pid=$1 left=$(($2 * 10))
    while kill -0 "$pid" 2>/dev/null && ((left-- > 0)); do sleep 0.1; done
    ! kill -0 "$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

clean_up() {
    local code=$? pid postmaster=""
    trap '' INT TERM HUP
    if [[ -n $home && -d $home ]]; then
        : >"$home/stop"
        for pid in $(jobs -p); do
            [[ " ${apps[*]} $rabbitmq_pid " == *" $pid "* ]] || kill -TERM "$pid" 2>/dev/null || true
        done
        for pid in $(jobs -p); do
            [[ " ${apps[*]} $rabbitmq_pid " == *" $pid "* ]] || end_process "$pid" 40
        done
        [[ -z $cluster || ! -f $cluster/postmaster.pid ]] || read -r postmaster <"$cluster/postmaster.pid" || true
        for pid in "${apps[1]}" "${apps[0]}"; do
            ((pid == 0)) || kill -TERM "$pid" 2>/dev/null || true
        done
        for pid in "${apps[1]}" "${apps[0]}"; do
            ((pid == 0)) || end_process "$pid" 60
        done
        end_rabbitmq
        if [[ -n $postmaster ]] && is_postmaster "$postmaster"; then
            kill -INT "$postmaster" 2>/dev/null || true
            end_process "$postmaster" 30
        fi
        give_huge_pages_back
        ((code == 0)) || show_logs
        rm -rf -- "$home"
        [[ $cluster_home != /var/lib/gencharge/* ]] || rm -rf -- "${cluster_home%/postgres}"
    fi
    exit "$code"
}

# Whether that process is the one of our cluster: the number may be another's by now.
is_postmaster() {
    [[ $(readlink "/proc/$1/cwd" 2>/dev/null) == "$cluster" ]]
}

# Only what went wrong: the end of the servers' logs.
show_logs() {
    local log
    for log in "$home"/app-*.log; do
        [[ ! -s $log ]] || { say "bench: the end of ${log##*/}:"; tail -n 15 "$log" >&2; }
    done
}

# --- commands ----------------------------------------------------------------------------------------------------

# bounded SECONDS COMMAND...: in the background, so that a signal to this script does not have to wait for it.
bounded() {
    local limit=$1 left=$((deadline - SECONDS)) code=0
    ((left > 0)) || fail "not done after $((deadline / 60)) minutes"
    ((limit <= left)) || limit=$left
    timeout --kill-after=30 "$limit" "${@:2}" &
    wait "$!" || code=$?
    ((code != 124)) || say "bench: not done after $limit s: ${*:2:3} ..."
    return "$code"
}

# tool SECONDS ARGS...: a command of gencharge, in a folder without .env
tool() { tool_with GENCHARGE_LOG=warn "$@"; }
tool_with() {
    bounded "$2" env -C "$home" "${settings[@]}" GENCHARGE_LOG=warn "$1" "$bin/gencharge" "${@:3}" >&2
}

sql() { "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$socket" -U gencharge -d "$1" -c "$2"; }

# start_app 0|1 [SETTING]...
start_app() {
    local port=$((base_port + $1)) waited=0
    ! listening 127.0.0.1 "$port" || fail "port $port is taken: choose another with GENCHARGE_BENCH_PORT"
    env -C "$home" "${settings[@]}" "${@:2}" "GENCHARGE_BIND=127.0.0.1:$port" \
        "GENCHARGE_ACCESS_LOG=$home/access-$1.log" "$bin/gencharge" serve >>"$home/app-$1.log" 2>&1 &
    apps[$1]=$!
    until listening 127.0.0.1 "$port"; do
        kill -0 "${apps[$1]}" 2>/dev/null || fail "the server ended at its start"
        ((waited++ < 600)) || fail "the server does not listen after 60 s"
        sleep 0.1
    done
}

stop_app() {
    local pid=${apps[$1]}
    kill -TERM "$pid"
    end_process "$pid" 90
    apps[$1]=0
}

# Where the embedded cluster is.
find_cluster() {
    local record=$home/data/postgres.json
    cluster_home=$(sed -n 's/^ *"home": *"\(.*\)",\{0,1\}$/\1/p' "$record")
    socket=$(sed -n 's/^ *"socket_folder": *"\(.*\)",\{0,1\}$/\1/p' "$record")
    cluster=$cluster_home/cluster
    [[ -d $cluster && -d $socket ]] || fail "$record does not name the cluster"
}

no_deadlocks() {
    local deadlocks
    deadlocks=$(sql "$1" "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    ((deadlocks == 0)) || fail "$deadlocks deadlocks in database $1"
}

# --- CPU time ----------------------------------------------------------------------------------------------------

ticks_per_s=$(getconf CLK_TCK)

# Sets `ticks` to what process $1 has used; with a second argument, with its ended children; nothing when it is gone.
process_ticks() {
    local line fields
    ticks=0
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    # The name in parentheses may hold blanks; utime, stime, cutime and cstime are fields 14 to 17.
    read -r -a fields <<<"${line##*) }"
    ticks=$((fields[11] + fields[12]))
    [[ -z ${2:-} ]] || ticks=$((ticks + fields[13] + fields[14]))
    parent_of_process=${fields[1]}
}

# Sets app_ms, postgres_ms and children_ms to the CPU times used so far.
cpu_now() {
    local pid stat ticks parent_of_process postmaster sum=0
    for pid in "${apps[@]}"; do
        ((pid != 0)) || continue
        process_ticks "$pid"
        sum=$((sum + ticks))
    done
    app_ms=$((sum * 1000 / ticks_per_s))
    read -r postmaster <"$cluster/postmaster.pid"
    process_ticks "$postmaster" with_children
    sum=$ticks
    for stat in /proc/[0-9]*/stat; do
        pid=${stat//[!0-9]/}
        parent_of_process=0
        process_ticks "$pid"
        ((parent_of_process != postmaster)) || ((sum += ticks)) || true
    done
    postgres_ms=$((sum * 1000 / ticks_per_s))
    # Its second line: user and system time of all ended children, like 1m2.345s 0m0.678s. Not through a pipe, which would
    # be a process without children.
    times >"$home/times"
    children_ms=$(awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); sum += t[1] * 60000 + t[2] * 1000 } print int(sum) }' "$home/times")
}

cpu_begin() {
    cpu_now
    app_begin=$app_ms postgres_begin=$postgres_ms children_begin=$children_ms
}

cpu_end() {
    cpu_now
    app_used=$((app_ms - app_begin)) postgres_used=$((postgres_ms - postgres_begin))
    children_used=$((children_ms - children_begin))
}

# --- the outbox's lag --------------------------------------------------------------------------------------------

waiting_sql="SELECT coalesce((extract(epoch FROM clock_timestamp() - min(created_at)) * 1000)::bigint, 0)
    FROM outbox_batches WHERE delivered_at IS NULL AND parked_at IS NULL;"

# Every second the age of the oldest event that waits, in milliseconds: by SQL, and as /metrics tells it.
sample_lag() {
    local lag
    coproc SQL { exec "$PG_BIN/psql" -X -q -A -t -h "$socket" -U gencharge -d gencharge; }
    while [[ ! -e $home/stop && ! -e $home/lag.stop ]]; do
        printf '%s\n' "${waiting_sql//$'\n'/ }" >&"${SQL[1]}"
        read -r -t 10 lag <&"${SQL[0]}" || break
        printf 'sql %s\n' "$lag"
        { exec 3<>"/dev/tcp/127.0.0.1/$base_port"; } 2>/dev/null || break
        printf 'GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n' >&3
        timeout 10 sed -n 's/^gencharge_outbox_lag_milliseconds \([0-9]*\).*/metrics \1/p' <&3 || true
        exec 3>&-
        sleep 1
    done >"$home/lag"
}

lag_begin() {
    rm -f -- "$home/lag.stop"
    sample_lag &
    sampler=$!
}

# Sets lag_ms to the most that was seen.
lag_end() {
    : >"$home/lag.stop"
    wait "$sampler" || true
    lag_ms=$(awk '$2 > most { most = $2 } $1 == "sql" { seen++ } END { if (!seen) exit 1; print most + 0 }' "$home/lag") ||
        fail "the outbox's lag could not be read"
    ! grep -q '^metrics' "$home/lag" || metrics_lag_seen=1
}

# drain [SECONDS]: waits until everything is delivered, so that no measurement pays for the one before it. Sets drain_ms.
drain() {
    local begun=${EPOCHREALTIME/[.,]/} waited=0 patience=${1:-60}
    until [[ $(sql gencharge "SELECT NOT EXISTS (SELECT FROM outbox_batches WHERE delivered_at IS NULL AND parked_at IS NULL)") == t ]]; do
        ((waited++ < patience * 5)) || fail "the outbox is not empty $patience s after the load ended"
        sleep 0.2
    done
    drain_ms=$(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
}

# --- load --------------------------------------------------------------------------------------------------------

loads=()

# start_load NAME PROCESS CONNECTIONS SECONDS SCENARIO ARGS...: its report goes to NAME.json
start_load() {
    timeout --kill-after=10 $(($4 + 60)) "$bin/gencharge-loadgen" "$5" --base "http://127.0.0.1:$((base_port + $2))" \
        --connections "$3" --seconds "$4" --json "${@:6}" >"$home/$1.json" &
    loads+=("$!")
}

end_loads() {
    local pid code=0
    for pid in "${loads[@]}"; do
        wait "$pid" || code=$?
    done
    loads=()
    ((code == 0)) || fail "the load generator ended with $code"
}

# warm_up SCENARIO CONNECTIONS ARGS...
warm_up() {
    start_load warm 0 "$2" "$warm_s" "$1" "${@:3}"
    end_loads
    drain
}

# measure ID NAME CONNECTIONS SECONDS SCENARIO ARGS...
measure() {
    step "$2, $3 connections, $4 s"
    local id=$1 name=$2
    lag_begin
    cpu_begin
    start_load "$id" 0 "$3" "$4" "${@:5}"
    end_loads
    cpu_end
    lag_end
    drain
    record_load "$id" "$name" "$3" "$id"
}

# --- messages ----------------------------------------------------------------------------------------------------

# Sets broker_ms to the CPU time that the broker has used so far: the process that was started is a script, whose children count.
broker_now() {
    local pid ticks parent_of_process sum=0 index=0 all=("$rabbitmq_pid")
    while ((index < ${#all[@]})); do
        pid=${all[index]}
        # shellcheck disable=SC2207
        all+=($(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true))
        process_ticks "$pid"
        sum=$((sum + ticks)) index=$((index + 1))
    done
    broker_ms=$((sum * 1000 / ticks_per_s))
}

end_rabbitmq() {
    ((rabbitmq_pid == 0)) || { kill -TERM "$rabbitmq_pid" 2>/dev/null || true; end_process "$rabbitmq_pid" 30; }
    rabbitmq_pid=0
    end_epmd
}

# post PATH TOKEN KEY BODY: sets `answer` to the JSON of a success.
post() {
    exec 3<>"/dev/tcp/127.0.0.1/$base_port"
    printf 'POST %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$2" "$3" "${#4}" "$4" >&3
    answer=$(timeout 20 cat <&3) || true
    exec 3>&-
    [[ $answer == 'HTTP/1.1 2'* ]] || fail "$1 answered: $answer"
    answer=${answer##*$'\r\n\r\n'}
}

# field NAME: the first text or number of that name in `answer`.
field() { grep -o "\"$1\":\"\?[^\",}]*" <<<"$answer" | sed -n '1s/.*:"\?//p'; }

# make_partner RUPEES: the broker's user as a partner. Sets partner_id.
make_partner() {
    local phone=9000000001 token
    post /auth/login "" otp "{\"phone_number\":\"$phone\"}"
    post /auth/verify-otp-login "" login "{\"phone_number\":\"$phone\",\"otp\":\"$(field dev_otp)\"}"
    token=$(field access_token)
    post /partners "$token" partner '{"name":"Bench","broker_user":"guest","permissions":{"recharge":true,"wallet_topup":true}}'
    partner_id=$(field partner_id)
    post "/partners/$partner_id/funding" "$token" funding "{\"amount\":$1}"
}

# write_messages FILE FIRST COUNT: recharges, one a line, for the customers in turn.
write_messages() {
    awk -v first="$2" -v count="$3" '
        { phone[NR] = substr($1, length($1) - 9) }
        END { for (i = first; i < first + count; i++) printf "{\"specversion\":\"1.0\",\"id\":\"bench-%d\",\"source\":\"/bench\",\"type\":\"gencharge.recharge.requested.v1\",\"data\":{\"phone_number\":\"%s\",\"plan_id\":1}}\n", i, phone[i % NR + 1] }
    ' "$home/tokens" >"$1"
}

# Waits in the database until the partner has paid for so many recharges.
until_committed() {
    bounded "$2" "$PG_BIN/psql" -X -q -h "$socket" -U gencharge -d gencharge -v ON_ERROR_STOP=1 -c "DO \$\$ BEGIN
        WHILE (SELECT recharges FROM wallets WHERE wallet_id = $partner_id) < $1 LOOP COMMIT; PERFORM pg_sleep(0.02); END LOOP; END \$\$"
}

# publish FILE COUNT: all of them, confirmed by the broker.
publish() {
    timeout --kill-after=10 200 env -C "$home" "${settings[@]}" "AMQP_URL=$rabbitmq_url" GENCHARGE_LOG=warn \
        "$bin/gencharge" publish --file "$1" >"$home/published" || fail "not every message was taken"
    [[ $(grep -c '^confirmed' "$home/published") == "$2" ]] || fail "not every message was confirmed"
}

# until_told SECONDS: until the outbox and the queues of events are empty. Sets drain_ms.
until_told() {
    local begun=${EPOCHREALTIME/[.,]/} waited=0 depth
    drain "$1"
    while :; do
        exec 3<>"/dev/tcp/127.0.0.1/$base_port"
        printf 'GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n' >&3
        depth=$(timeout 10 sed -n 's/^gencharge_actor_gauge{actor="consumer-[a-z-]*",gauge="depth"} \([0-9]*\).*/\1/p' <&3 | awk '{ sum += $1 } END { print NR ? sum + 0 : -1 }')
        exec 3>&-
        ((depth != 0)) || break
        ((waited++ < $1 * 2)) || fail "the queues of events are not empty $1 s after the outbox is"
        sleep 0.5
    done
    told_ms=$(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
}

# measure_published COUNT: one line in results.tsv, without quantiles, as nobody waits for an answer.
measure_published() {
    local begun broker_begin committed_us
    write_messages "$home/messages" 1000000 "$1"
    lag_begin
    cpu_begin
    broker_now
    broker_begin=$broker_ms
    begun=${EPOCHREALTIME/[.,]/}
    publish "$home/messages" "$1" &
    loads+=("$!")
    until_committed "$(($1 + warm_messages))" 240 || fail "the messages were not committed in time"
    committed_us=$((${EPOCHREALTIME/[.,]/} - begun))
    end_loads
    cpu_end
    broker_now
    lag_end
    until_told 240
    messages_broker_us=$(((broker_ms - broker_begin) * 1000 / $1))
    printf 'messages\trecharges by message, published to committed\t1\t%s\t%s\t\t\t0\t%s\t%s\t%s\t%s\t%s\n' "$1" \
        "$(($1 * 1000000 / committed_us))" "$app_used" "$postgres_used" "$children_used" "$lag_ms" "$drain_ms" >>"$home/results.tsv"
    show_last
    say "    the broker used $messages_broker_us us of CPU for a message; customers and administrators told $((told_ms / 1000)) s after"
}

# number FIELD FILE: a number of the load generator's report; the first of that name.
number() { grep -o "\"$1\":[0-9.]*" "$2" | sed -n '1s/.*://p'; }

# record_load ID NAME CONNECTIONS REPORT...: one line in results.tsv, with the reports added up (p50, p99: the worse one).
# id, name, connections, ops, ops/s, p50 ms, p99 ms, failed, app ms, PostgreSQL ms, generator ms, lag ms, drain ms
record_load() {
    local report file
    for report in "${@:4}"; do
        file=$home/$report.json
        printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(number ops "$file")" "$(number ops_per_s "$file")" "$(number p50 "$file")" \
            "$(number p99 "$file")" "$(number ops_failed "$file")" "$(number requests "$file")" "$(number cpu_seconds "$file")"
        [[ $(number ops_failed "$file") == 0 ]] || say "bench: failed: $(grep -o '"errors":\[[^]]*\]\|"connection_errors":{[^}]*}' "$file" | tr '\n' ' ')"
    done | awk -F'\t' -v OFS='\t' -v id="$1" -v name="$2" -v connections="$3" -v app="$app_used" -v pg="$postgres_used" \
        -v lag="$lag_ms" -v drain="$drain_ms" '
        { ops += $1; rate += $2; if ($3 > p50) p50 = $3; if ($4 > p99) p99 = $4; failed += $5; cpu += $7 * 1000 }
        END { print id, name, connections, ops, rate, p50, p99, failed, app, pg, int(cpu), lag, drain }' >>"$home/results.tsv"
    show_last
}

record_pgbench() {
    local count rate failed quantiles
    count=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$home/pgbench.out")
    rate=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$home/pgbench.out" | tail -n 1)
    failed=$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$home/pgbench.out")
    quantiles=$(cat "$home"/pgbench.[0-9]* | awk '{ print $3 }' | sort -n |
        awk '{ us[NR] = $1 } END { printf "%.3f\t%.3f", us[int((NR + 1) / 2)] / 1000, us[int(NR * 0.99 + 0.99)] / 1000 }')
    printf 'pgbench\tpgbench, the same rows one by one\t16\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\t\n' "$count" "$rate" "$quantiles" \
        "${failed:-0}" "$app_used" "$postgres_used" "$children_used" >>"$home/results.tsv"
    show_last
}

# Tells what was just measured, and remembers when not every request was answered as it should.
show_last() {
    local line
    line=$(tail -n 1 "$home/results.tsv")
    awk -F'\t' '{ printf "    %d ops/s%s, %d failed%s\n", $5, $6 == "" ? "" : sprintf(", p50 %.1f ms, p99 %.1f ms", $6, $7), $8,
        $12 == "" ? "" : sprintf(", outbox lag at most %.1f s, empty %.1f s after", $12 / 1000, $13 / 1000) }' <<<"$line" >&2
    failures=$((failures + $(cut -f 8 <<<"$line")))
}
