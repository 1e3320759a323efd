#!/bin/sh
# The base of all recipes where no registry can be reached: Debian's smallest root file system, as a tar on stdout.
# The engine imports it as `debian:SUITE-slim`, with the instructions in the file `changes` beside this one:
#
#   sh rootfs.sh trixie | docker import --change "$(sed -n 1p changes)" … - debian:trixie-slim
#
# Writes nothing but stdout and mmdebstrap's own temporary folder; says what it does on stderr. Needs mmdebstrap 1.3 or
# later, Debian's keyring and either root or unprivileged user namespaces. Mirrors and apt's own options (a proxy, a
# date check switched off) are those of this machine when it runs Debian, so that a site's mirror is used here too.
set -eu

suite=${1:-trixie}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The first source of this machine with the given label (`Debian`, `Debian-Security`), else the public one.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Label: $1" 2> /dev/null |
    sed -n 's,/$,,;1p' | grep . || echo "$2"
}
main=${HOMEPORT_DEBIAN_MIRROR:-$(mirror Debian http://deb.debian.org/debian)}
security=${HOMEPORT_DEBIAN_SECURITY_MIRROR:-$(mirror Debian-Security http://deb.debian.org/debian-security)}

# What apt must know to reach the mirror at all. mmdebstrap writes these into the image, where the recipes' own
# `apt-get update` needs them too.
set -- --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"'
for option in Acquire::Check-Valid-Until Acquire::Check-Date Acquire::http::Proxy Acquire::https::Proxy; do
  eval "$(apt-config shell value "$option")"
  [ -z "${value:-}" ] || set -- "$@" --aptopt="$option \"$value\""
  value=
done

# Documentation that nobody reads in a container: the same exclusions as the official slim image. Licences stay.
for path in '/usr/share/doc/*' '/usr/share/info/*' '/usr/share/lintian/*' '/usr/share/locale/*' '/usr/share/man/*' \
  '/usr/share/groff/*' '/usr/share/linda/*'; do
  set -- "$@" --dpkgopt="path-exclude=$path"
done
set -- "$@" --dpkgopt='path-include=/usr/share/doc/*/copyright'

echo "debian:$suite-slim from $main and $security" >&2
exec mmdebstrap --variant=minbase --format=tar --keyring="$keyring" "$@" "$suite" - \
  "deb $main $suite main" \
  "deb $main $suite-updates main" \
  "deb $security $suite-security main"
