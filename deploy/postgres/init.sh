#!/usr/bin/env bash
# Runs once, on an empty data folder. The ledger and Temporal each get a role that owns
# its databases and cannot connect to the other's.
set -euo pipefail

# \getenv keeps the passwords off the command line.
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv ledger_password LEDGER_DB_PASSWORD
\getenv temporal_password TEMPORAL_DB_PASSWORD
CREATE ROLE stevedore LOGIN PASSWORD :'ledger_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE stevedore OWNER stevedore;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE ALL ON DATABASE stevedore, temporal, temporal_visibility FROM PUBLIC;
SQL
