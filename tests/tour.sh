#!/usr/bin/env bash
# Plays the README's tour: its SQL blocks in their order, their outputs compared, and the tables then read by others.
#
#   tests/tour.sh                                             on disk, in a temporary folder
#   FLOE_TOUR_WAREHOUSE=s3://bucket/folder tests/tour.sh      on S3, reached by the AWS_* variables
#
#   FLOE_BIN           the binary, by default the release build, which is built if need be
#   FLOE_TPCH_BIN      the example program tpch_data, likewise
#   FLOE_TOUR_SCALE    the TPC-H scale factor, by default the README's 1; 0.01 has expected outputs too
#   FLOE_TOUR_DATA     a folder for the Parquet files, which are made if they are not there
#   FLOE_TOUR_UPDATE   1: write the outputs seen into the README, or into tests/tour/ for another scale
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
if [ -z "${FLOE_BIN:-}" ] || [ -z "${FLOE_TPCH_BIN:-}" ]; then
    cargo build --release --bin floe --example tpch_data
    FLOE_BIN=${FLOE_BIN:-$target/release/floe}
    FLOE_TPCH_BIN=${FLOE_TPCH_BIN:-$target/release/examples/tpch_data}
fi
tests/peers/peers.sh install readers

scale=${FLOE_TOUR_SCALE:-1}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
data=${FLOE_TOUR_DATA:-$scratch/tpch}
if [ ! -e "$data/lineitem.parquet" ]; then "$FLOE_TPCH_BIN" "$scale" "$data"; fi

# With a warehouse of its own: what the tour leaves behind must not meet the next run.
"$(tests/peers/peers.sh python)" tests/tour/play.py README.md \
    --floe "$FLOE_BIN" --data "$data" --scale "$scale" \
    --warehouse "${FLOE_TOUR_WAREHOUSE:-$scratch/warehouse}" ${FLOE_TOUR_UPDATE:+--update}
