#!/bin/bash
# Builds a Debian package of a Berth that is built already: packaging/build-deb.sh [BINARY] [FOLDER]
#
#   BINARY   the program to pack (target/release/berth)
#   FOLDER   where the package goes (target/debian)
#
# Needs dpkg-deb alone. With dpkg-shlibdeps (package dpkg-dev) the dependency on the C library is exact.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
project=$(dirname "$here")
binary=$(realpath "${1:-$project/target/release/berth}")
out=${2:-$project/target/debian}
[ -x "$binary" ] || { echo "build-deb: $binary is not there; build it with 'cargo build --release'" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$project/Cargo.toml" | head -1)
architecture=$(dpkg --print-architecture)
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

install -D -m 755 -s "$binary" "$root/usr/bin/berth"
for unit in berth.service berth-shutdown.service; do
  install -D -m 644 "$here/$unit" "$root/lib/systemd/system/$unit"
done
install -D -m 644 "$here/berth.sysusers.conf" "$root/usr/lib/sysusers.d/berth.conf"
install -D -m 644 "$here/berth.tmpfiles.conf" "$root/usr/lib/tmpfiles.d/berth.conf"
install -D -m 644 "$here/berth.bash-completion" "$root/usr/share/bash-completion/completions/berth"
# All pages, because they lead to each other; here they lie beside the README.
pages=$root/usr/share/doc/berth
install -d -m 755 "$pages"
(cd "$project" && find docs -name '*.md' -printf '%P\n') | while read -r page; do
  install -D -m 644 "$project/docs/$page" "$pages/$page"
done
install -m 644 "$project/LICENSE" "$pages/LICENSE"
sed 's,](docs/,](,' "$project/README.md" >"$pages/README.md"
chmod 644 "$pages/README.md"

depends=libc6
if command -v dpkg-shlibdeps >/dev/null; then
  mkdir -p "$work/debian"
  printf 'Source: berth\n\nPackage: berth\nArchitecture: any\n' >"$work/debian/control"
  depends=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/berth" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
fi

install -d -m 755 "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: berth
Version: $version
Architecture: $architecture
Maintainer: The Berth developers <berth@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends, e2fsprogs, mount
Recommends: nftables
Section: admin
Priority: optional
Description: system containers with their history and backups
 Berth runs whole Linux systems in containers, keeps every change to them in a
 log that can be verified, and backs them up by schedule.
CONTROL

# The daemon is restarted by an upgrade, containers are not; berth-shutdown.service is never stopped by one.
cat >"$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
if [ -d /run/systemd/system ]; then
  systemd-sysusers berth.conf
  systemd-tmpfiles --create berth.conf
  systemctl daemon-reload
  if [ -z "$2" ]; then
    systemctl enable --now berth.service berth-shutdown.service
  else
    systemctl try-restart berth.service
  fi
fi
SCRIPT
# Removal stops the containers in order first: nothing could manage them any more.
cat >"$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
if [ -d /run/systemd/system ]; then
  systemctl disable --now berth-shutdown.service
  systemctl disable --now berth.service
fi
SCRIPT
# State and keys are never removed by a package manager.
cat >"$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
if [ "$1" = purge ] && { [ -d /var/lib/berth ] || [ -d /etc/berth/keys ]; }; then
  echo "berth: containers and their history stay in /var/lib/berth, keys in /etc/berth/keys; remove them by hand" >&2
fi
SCRIPT
chmod 755 "$root"/DEBIAN/p*

package=$out/berth_${version}_${architecture}.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
