#!/usr/bin/env bash
# Starts PostgreSQL with the official image's interface: at the first start it makes the cluster from POSTGRES_USER,
# POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_INITDB_WALDIR and POSTGRES_HOST_AUTH_METHOD (or the
# file that VARIABLE_FILE names), then runs /docker-entrypoint-initdb.d; at every start it becomes the server. A
# cluster that exists is never touched.
set -Eeuo pipefail

fail() {
  printf 'docker-entrypoint: %s\n' "$*" >&2
  exit 1
}

# Exports VARIABLE from itself, else from the file named by VARIABLE_FILE, else from the given default.
setting() {
  local name=$1 file_name=$1_FILE default=${2:-}
  [[ -z ${!name:-} || -z ${!file_name:-} ]] || fail "$name and $file_name are both set; set one of them"
  local value=${!name:-$default}
  if [[ -n ${!file_name:-} ]]; then value=$(< "${!file_name}"); fi
  export "$name=$value"
  unset "$file_name"
}

# As root: give the folders to postgres and start again as that user. Nothing runs as root after this.
drop_root() {
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 0700 "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
  find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
  [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || { mkdir -p "$POSTGRES_INITDB_WALDIR" && chown -R postgres "$POSTGRES_INITDB_WALDIR"; }
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$BASH_SOURCE" "$@"
}

# initdb wants a name for its user; one given by number only (`user: 1000`) gets one for as long as it needs it.
with_user_name() {
  if getent passwd "$(id -u)" > /dev/null; then
    "$@"
    return
  fi
  local names groups
  names=$(mktemp) groups=$(mktemp)
  echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" > "$names"
  echo "postgres:x:$(id -g):" > "$groups"
  LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=$names NSS_WRAPPER_GROUP=$groups "$@"
  rm -f "$names" "$groups"
}

make_cluster() {
  if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
    fail 'no cluster yet and POSTGRES_PASSWORD is empty; set it, or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in'
  fi
  local arguments=(--username="$POSTGRES_USER" --auth-local=trust)
  [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || arguments+=(--waldir="$POSTGRES_INITDB_WALDIR")
  # The official image splits POSTGRES_INITDB_ARGS as a shell would, and callers' values rely on it.
  eval "arguments+=($POSTGRES_INITDB_ARGS)"
  with_user_name initdb "${arguments[@]}" --no-sync --no-instructions --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
}

# Runs SQL in the temporary server; psql's own arguments may follow.
docker_process_sql() {
  local database=(--dbname "${POSTGRES_DB}")
  [[ -n ${POSTGRES_DB:-} ]] || database=()
  PGHOST='' PGHOSTADDR='' psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc \
    "${database[@]}" "$@"
}

run_init_file() {
  printf 'docker-entrypoint: running %s\n' "$1"
  case $1 in
    *.sh) if [[ -x $1 ]]; then "$1"; else . "$1"; fi ;;
    *.sql) docker_process_sql -f "$1" ;;
    *.sql.gz) gunzip -c "$1" | docker_process_sql ;;
    *.sql.xz) xz -dc "$1" | docker_process_sql ;;
    *.sql.zst) zstd -dc "$1" | docker_process_sql ;;
    *) printf 'docker-entrypoint: ignoring %s\n' "$1" ;;
  esac
}

# The database and the init files, through a server that only this container's socket reaches: nobody can connect to a
# cluster that is half made, and a health check over TCP is true only once all of this is done. Nothing is forced to the
# disk until then; `write_through` does it once for the whole.
fill_cluster() {
  PGHOST='' PGHOSTADDR='' pg_ctl --pgdata "$PGDATA" --wait --silent \
    --options "$(printf '%q ' "${@:2}" -c listen_addresses= -c fsync=off -p "${PGPORT:-5432}")" start
  if [[ $POSTGRES_DB != postgres ]]; then
    POSTGRES_DB='' docker_process_sql --dbname postgres --set database="$POSTGRES_DB" <<< 'CREATE DATABASE :"database";'
  fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    [[ ! -e $file ]] || run_init_file "$file"
  done
  pg_ctl --pgdata "$PGDATA" --wait --silent --mode fast stop
}

# The new cluster is on the disk before its server answers anybody. One syncfs instead of a thousand fsync: 0.1 s where
# the latter takes 0.5 s on an idle disk and 5 s on a busy one.
write_through() {
  with_user_name initdb --sync-only --sync-method=syncfs > /dev/null
  printf 'docker-entrypoint: cluster made, starting\n'
}

main() {
  # An argument that is an option is one of the server's.
  [[ ${1:-} != -* ]] || set -- postgres "$@"
  if [[ ${1:-} != postgres ]]; then exec "$@"; fi
  [[ $(id -u) != 0 ]] || drop_root "$@"

  if [[ ! -s $PGDATA/PG_VERSION ]]; then
    setting POSTGRES_PASSWORD
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA" 2> /dev/null || true
    make_cluster
    fill_cluster "$@"
    write_through
  fi
  exec "$@"
}

main "$@"
