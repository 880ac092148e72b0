#!/usr/bin/env bash
# Creates the host key, the user and sample files unless they exist, then runs sshd.
set -euo pipefail
: "${SFTP_USER:?is not set}" "${SFTP_PASSWORD:?is not set}"

key=/etc/ssh/keys/ssh_host_ed25519_key
outbox=/srv/sftp/outbox

[[ -e $key ]] || ssh-keygen -q -t ed25519 -N '' -C "$SFTP_USER" -f "$key"

# The uid is fixed because files on the volume outlive the container.
id -u "$SFTP_USER" >/dev/null 2>&1 ||
	useradd --uid 1000 --no-create-home --home-dir / --shell /usr/sbin/nologin "$SFTP_USER"
chpasswd <<<"$SFTP_USER:$SFTP_PASSWORD"
unset SFTP_PASSWORD

write_samples() {
	mkdir -p "$1/invoices/2026"
	printf 'number,amount\n1001,19.90\n1002,250.00\n' >"$1/invoices/2026/january.csv"
	(cd "$1/invoices/2026" && sha256sum january.csv >january.csv.sha256)
	: >"$1/empty.txt"
	printf 'a name with spaces and ümlauts\n' >"$1/prüf bericht.txt"
	head -c 67108864 /dev/urandom >"$1/scan-64MiB.bin"
	chown -R "$SFTP_USER:" "$1"
}

# Renamed when complete, so that the next start repeats an interrupted one.
if [[ ! -e $outbox ]]; then
	rm -rf "$outbox.new"
	write_samples "$outbox.new"
	mv "$outbox.new" "$outbox"
fi
# sshd requires that only root can write to the chroot.
chown root:root /srv/sftp
chmod 0755 /srv/sftp

exec /usr/sbin/sshd -D -e -o "AllowUsers=$SFTP_USER"
