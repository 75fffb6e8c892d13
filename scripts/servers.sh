# shellcheck shell=bash
# Servers that `./dev test` and `./dev bench` start for themselves. Read by both; they have `say`.

# listening HOST PORT
listening() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

free_port() {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 12000))
        listening 127.0.0.1 "$port" || { printf '%s' "$port"; return; }
    done
    return 1
}

# await_port NAME PORT PID LOG: waits until the server listens.
await_port() {
    local waited=0
    until listening 127.0.0.1 "$2"; do
        if ! kill -0 "$3" 2>/dev/null || ((++waited > 600)); then
            say "$1 did not start:"
            tail -n 20 "$4" >&2 || true
            return 1
        fi
        sleep 0.1
    done
}

# The server itself: the package's own wrapper insists on its user and folders.
rabbitmq_server=/usr/lib/rabbitmq/bin/rabbitmq-server

# start_rabbitmq FOLDER: a node that lives there and nowhere else, in the background. Sets rabbitmq_pid and rabbitmq_url.
start_rabbitmq() {
    local port distribution
    port=$(free_port) distribution=$(free_port) ERL_EPMD_PORT=$(free_port)
    export ERL_EPMD_PORT
    mkdir -p "$1"
    echo '[].' >"$1/plugins"
    HOME=$1 RABBITMQ_NODENAME="gencharge-$$@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_NODE_PORT=$port RABBITMQ_DIST_PORT=$distribution RABBITMQ_MNESIA_BASE=$1/data \
        RABBITMQ_LOG_BASE=$1/log RABBITMQ_ENABLED_PLUGINS_FILE=$1/plugins \
        RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$1/none \
        "$rabbitmq_server" >"$1/console.log" 2>&1 &
    rabbitmq_pid=$!
    # Both are for whoever has called this.
    # shellcheck disable=SC2034
    rabbitmq_url="amqp://guest:guest@127.0.0.1:$port/%2f"
    await_port rabbitmq "$port" "$rabbitmq_pid" "$1/console.log"
}

# Erlang's name server, which outlives the node that started it.
end_epmd() { [[ -z ${ERL_EPMD_PORT:-} ]] || epmd -kill >/dev/null 2>&1 || true; }
