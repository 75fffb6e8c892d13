#!/usr/bin/env bash
# Holds a server to its own /openapi.json: the document is validated, then schemathesis sends requests made from it, as a
# customer, as an administrator who may do everything, and as nobody. No answer may be a 5xx or one that is not documented.
#
#   scripts/conformance.sh BINARY [SECONDS]     SECONDS: how long each of the three runs may take (90)
#
# The server is one of its own, on embedded PostgreSQL in a folder that is removed at the end, and on the other stores whose
# addresses are in MONGODB_URL, REDIS_URL and AMQP_URL.
set -euo pipefail

binary=$(realpath -- "${1:?the gencharge binary is missing}") seconds=${2:-90}
schemathesis_version=4.32.5 validator_version=0.9.0

say() { printf 'conformance: %s\n' "$*" >&2; }

home=$(mktemp -d /tmp/gencharge-conformance.XXXXXX)
server=""

# shellcheck disable=SC2317  # called by a trap
finish() {
    trap '' INT TERM
    if [[ -n $server ]] && kill -0 "$server" 2>/dev/null; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || true
    fi
    rm -rf -- "$home"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tools=${XDG_CACHE_HOME:-$HOME/.cache}/gencharge/schemathesis-$schemathesis_version
if [[ ! -x $tools/bin/schemathesis || ! -x $tools/bin/openapi-spec-validator ]]; then
    say "installing schemathesis $schemathesis_version and openapi-spec-validator $validator_version into $tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install -q "schemathesis==$schemathesis_version" "openapi-spec-validator==$validator_version" >&2
fi

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port=0
for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    listening "$port" || break
done

export GENCHARGE_DATA_DIR=$home/data GENCHARGE_BIND=127.0.0.1:$port GENCHARGE_DEV_OTP=1 GENCHARGE_BACKUP_DAILY=off
export GENCHARGE_ACCESS_LOG=off GENCHARGE_ACCESS_TOKEN_TTL=2h
unset DATABASE_URL
for address in MONGODB_URL REDIS_URL AMQP_URL; do
    [[ -n ${!address:-} ]] || unset "$address"
done
"$binary" seed --demo >"$home/seed.log" 2>&1 || { cat "$home/seed.log" >&2; exit 1; }
"$binary" serve >"$home/server.log" 2>&1 &
server=$!
waited=0
until listening "$port"; do
    if ! kill -0 "$server" 2>/dev/null || ((++waited > 600)); then
        say "the server did not start:"
        tail -n 20 "$home/server.log" >&2
        exit 1
    fi
    sleep 0.1
done

base=http://127.0.0.1:$port
cd "$home" # where schemathesis keeps its notes
"$tools/bin/python" - "$base/openapi.json" "$home/openapi.json" <<'PYTHON'
import sys, urllib.request
open(sys.argv[2], "wb").write(urllib.request.urlopen(sys.argv[1]).read())
PYTHON
"$tools/bin/openapi-spec-validator" "$home/openapi.json" >&2

code=0
# run NAME [ARGS...]: one run of schemathesis. Left out are a stream that never ends, and what would end the caller's session.
run() {
    say "as $1"
    "$tools/bin/schemathesis" run "$home/openapi.json" --url "$base" --phases examples,coverage,fuzzing \
        --max-time "$seconds" --generation-deterministic --warnings off \
        --exclude-path /notification/stream --exclude-path /auth/logout \
        --exclude-checks "$excluded_checks" --request-timeout 30 --continue-on-failure --no-color \
        "${@:2}" || code=1
}

# Unknown fields are ignored, as clients expect, and some rules (a number in its queue, a plan that exists) are no schema's.
excluded_checks=negative_data_rejection,positive_data_acceptance
customer=$("$binary" token --phone 9800000002 --ttl 2h)
administrator=$("$binary" token --phone 9000000003 --ttl 2h)
run customer -H "Authorization: Bearer $customer" --exclude-operation-id delete_me --exclude-operation-id deactivate
run administrator -H "Authorization: Bearer $administrator"
run nobody

# A request that is no HTTP is the sender's error, and logged as one by the HTTP server.
if grep ' ERROR ' "$home/server.log" | grep -v 'request parse error' >&2; then
    say "the server logged errors"
    code=1
fi
exit "$code"
