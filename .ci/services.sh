# Servers and a browser for the tests, from Debian's packages when they are missing. Sourced by .ci/run.

apt_install() {
  command -v apt-get >/dev/null || { echo "Install $* by hand: this system has no apt-get." >&2; return 1; }
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

need_postgres() {
  command -v pg_ctlcluster >/dev/null || apt_install postgresql
  if ! pg_isready -q -h 127.0.0.1 -p 5432; then
    pg_ctlcluster --skip-systemctl-redirect "$(ls /etc/postgresql | sort -n | tail -1)" main start
    for _ in $(seq 50); do pg_isready -q -h 127.0.0.1 -p 5432 && break; sleep 0.2; done
  fi
  psql -qAt -h 127.0.0.1 -U postgres -c 'select 1' >/dev/null \
    || { echo "PostgreSQL on 127.0.0.1:5432 must let user postgres in without a password (pg_hba.conf: trust)." >&2; return 1; }
}

need_redis() {
  command -v redis-server >/dev/null || apt_install redis-server
  [ "$(redis-cli -h 127.0.0.1 ping 2>/dev/null)" = PONG ] || redis-server --daemonize yes --bind 127.0.0.1 --port 6379 --save "" --appendonly no >/dev/null
  for _ in $(seq 50); do [ "$(redis-cli -h 127.0.0.1 ping 2>/dev/null)" = PONG ] && return 0; sleep 0.2; done
  echo "Redis does not answer on 127.0.0.1:6379." >&2
  return 1
}

need_chromium() {
  [ -x /usr/bin/chromium ] || apt_install chromium
  [ -x /usr/bin/chromium ] || { echo "Chromium could not be installed." >&2; return 1; }
}
