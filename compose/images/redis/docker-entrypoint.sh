#!/bin/sh
# Starts Redis with the official image's interface: an option or a file ending in .conf as the first argument is
# redis-server's, and root gives /data to the user redis before becoming it. Anything else runs as it is.
set -eu

case ${1:-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis '{}' +
  exec setpriv --reuid=redis --regid=redis --init-groups -- "$0" "$@"
fi

# Files in /data are for Redis alone, unless the caller asked otherwise.
if [ "$(umask)" = 0022 ]; then umask 0077; fi

# Without a configuration Redis refuses everybody but loopback, and nobody can reach a container's loopback: as in the
# official image, published ports are the caller's decision.
if [ "$*" = redis-server ]; then set -- redis-server --protected-mode no; fi
exec "$@"
