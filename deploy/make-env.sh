#!/usr/bin/env bash
# Creates the file of secrets that docker-compose.yml requires.
#
#   deploy/make-env.sh [FILE]      default: deploy/compose.env
#
# compose.env.example is the template: its empty variables get random values. An
# existing file is never changed, because volumes have its passwords; if it lacks
# a variable of the template, the script fails with an error.
set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
template=$here/compose.env.example
target=${1:-$here/compose.env}

# 24 random bytes as hex, which needs no escaping in URLs. od is part of POSIX.
secret() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }

fill_in() {
	local line
	while IFS= read -r line; do
		case $line in
		'#'* | '') echo "$line" ;;
		*=) echo "$line$(secret)" ;;
		*) echo "$line" ;;
		esac
	done <"$template"
}

# must_be_complete fails when the file lacks a secret that a newer version needs.
must_be_complete() {
	local name missing=()
	while IFS= read -r name; do
		grep -q "^$name=." "$target" || missing+=("$name")
	done < <(sed -n 's/^\([A-Z_]*\)=$/\1/p' "$template")
	if ((${#missing[@]} > 0)); then
		echo "$target lacks ${missing[*]}: add them, see $template" >&2
		exit 1
	fi
}

if [[ -e $target ]]; then
	must_be_complete
	echo "$target exists and is kept"
	exit 0
fi

temporary=$(mktemp "$target.XXXXXX")
trap 'rm -f "$temporary"' EXIT
fill_in >"$temporary"
# A link, unlike a rename, fails if another run has created the file.
ln "$temporary" "$target"
echo "created $target, readable only by you"
