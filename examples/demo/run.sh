#!/usr/bin/env bash
# The main job from end to end, with bin/asof alone: simulate card payments, define features, materialize them,
# export a training set, serve the features and look them up. `make demo` builds asof and runs this.
#
# Everything lies in build/demo, which is removed first; look around there afterwards.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
demo=$root/build/demo
export PATH=$root/bin:$PATH
for name in "${!ASOF_@}"; do unset "$name"; done # settings of one's own are for one's own projects

server_pid=
stop_server() {
  if [[ -n $server_pid ]]; then
    kill "$server_pid" 2>/dev/null || true # it may have ended by itself
    wait "$server_pid" || true
    server_pid=
  fi
}
trap stop_server EXIT

bold= plain=
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s\n' "$@"; }
run() { # shows a command, then runs it
  printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@"
}

rm -rf "$demo"
mkdir -p "$demo"
cd "$demo"

step "1. Data: three months of card payments, some of them fraud"
run asof simulate .

step "2. Definitions: what the features are"
cp "$root/features.example.yaml" features.yaml
note "features.yaml is features.example.yaml: entities, sources, views and services, each explained."
run asof plan
run asof apply

step "3. Materialize: compute the features, as Iceberg tables for training and as latest values for serving"
run asof materialize
run asof status
note "" "Is what will be served what training would see? For every key of every view, to the bit:"
run asof verify --all

step "4. Training set: for each labelled payment, the features as they were at that moment"
run asof export fraud_v1 --spine training.parquet --out training_set.parquet
note "" "What it was made of stands beside it, training_set.parquet.manifest.json:"
head -n 16 training_set.parquet.manifest.json
note "  ..."

step "5. A leak: how often a terminal's payments were fraud, with and without waiting for the investigation"
run asof export fraud_leak --spine training.parquet --out leak.csv
note "" "Both count the fraud at a payment's terminal over 30 days. An investigation takes a week: terminal_fraud has a delay of 7d for that," \
  "terminal_fraud_leaky has none, so that each payment finds its own label among its features. Their means:" ""
awk -F, '
  NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
  { rows[$at["is_fraud"]]++; honest[$at["is_fraud"]] += $at["honest__fraud_rate_30d"]; leaky[$at["is_fraud"]] += $at["leaky__fraud_rate_30d"] }
  END {
    printf "  %-16s %8s %12s %12s\n", "payments", "rows", "honest", "leaky"
    for (label in rows) printf "  %-16s %8d %11.2f%% %11.2f%%\n", label == "true" ? "fraud" : "no fraud", rows[label], 100 * honest[label] / rows[label], 100 * leaky[label] / rows[label]
  }' leak.csv
note "" "A model trained on the leaky rate looks better than it is, and fails when it serves, where no payment has a label yet."

step "6. On demand: what only the payment itself tells, by the same expressions in training and serving"
run asof export fraud_live --spine training.parquet --out live.parquet
run asof get fraud_live --key customer_id=7 --key payee_id=8 --field amount=250

step "7. Serve: the same features, now, over gRPC"
printf '\n%s$ asof serve --listen 127.0.0.1:0 &%s\n' "$bold" "$plain"
asof serve --listen 127.0.0.1:0 >serve.log 2>&1 &
server_pid=$!
address=
for _ in {1..100}; do # it says where it listens, since port 0 is any that is free
  address=$(grep -om1 '127\.0\.0\.1:[1-9][0-9]*' serve.log || true)
  [[ -n $address ]] && break
  kill -0 "$server_pid" 2>/dev/null || break
  sleep 0.1
done
if [[ -z $address ]]; then
  cat serve.log >&2
  echo "demo: the server did not start" >&2
  exit 1
fi
note "It answers on $address."

run asof get fraud_v1 --server "$address" --key customer_id=7 --key payee_id=8 --key terminal_id=3
note "" "A customer whom nobody has seen gets the defaults, and a status that says so; --json is for programs:"
run asof get fraud_v1 --server "$address" --key customer_id=999999 --key payee_id=8 --key terminal_id=3 --json

stop_server
step "Done in ${SECONDS} s"
note "Look around in build/demo: change features.yaml there, then asof plan, asof apply, asof materialize." \
  "docs/getting-started.md goes through it with a project of your own."
