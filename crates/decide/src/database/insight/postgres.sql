\set ON_ERROR_STOP off
SET search_path = pg_catalog, pg_temp;
SET default_transaction_read_only = on;
SET client_min_messages = error;
SET statement_timeout = '5s';
SET lock_timeout = '500ms';
SET pg_stat_statements.track = 'none';

SELECT json_build_object('is', 'size', 'bytes', pg_database_size(current_database()));

SELECT json_build_object('is', 'server', 'version', current_setting('server_version'),
    'most', current_setting('max_connections')::bigint, 'hits', d.blks_hit, 'reads', d.blks_read, 'deadlocks', d.deadlocks,
    'oldest_number', (SELECT max(age(datfrozenxid))::bigint FROM pg_database),
    'has_statements', current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%')
FROM pg_stat_database d WHERE d.datname = current_database();

SELECT json_build_object('is', 'connections', 'state', coalesce(a.state, 'starting'), 'count', count(*))
FROM pg_stat_activity a WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
GROUP BY a.state ORDER BY count(*) DESC LIMIT 10;

SELECT json_build_object('is', 'transaction', 'role', left(a.usename, 63), 'state', a.state,
    'age_ms', greatest(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000, 0)::bigint)
FROM pg_stat_activity a
WHERE a.xact_start IS NOT NULL AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
ORDER BY a.xact_start LIMIT 1;

WITH free AS MATERIALIZED (
    SELECT c.oid, c.relkind, CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'i') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.mode = 'AccessExclusiveLock')
), sized AS MATERIALIZED (
    SELECT name, CASE relkind WHEN 'i' THEN 'index' ELSE 'table' END AS kind,
        CASE relkind WHEN 'i' THEN pg_relation_size(oid) ELSE pg_table_size(oid) END AS bytes FROM free
)
SELECT json_build_object('is', 'relation', 'kind', kind, 'name', name, 'bytes', bytes)
FROM sized WHERE bytes IS NOT NULL ORDER BY bytes DESC, name LIMIT 10;

WITH behind AS MATERIALIZED (
    SELECT t.*, CASE t.schemaname WHEN 'public' THEN t.relname::text ELSE t.schemaname || '.' || t.relname END AS name,
        EXISTS (SELECT FROM pg_locks l WHERE l.relation = t.relid AND l.mode = 'AccessExclusiveLock') AS is_locked
    FROM pg_stat_user_tables t ORDER BY t.n_dead_tup DESC, t.schemaname, t.relname LIMIT 10
)
SELECT json_build_object('is', 'table', 'name', t.name, 'live', t.n_live_tup, 'dead', t.n_dead_tup,
    'dead_bytes', CASE WHEN t.is_locked THEN 0
        ELSE (coalesce(pg_relation_size(t.relid), 0)::numeric * t.n_dead_tup / greatest(t.n_live_tup + t.n_dead_tup, 1))::bigint END,
    'vacuumed_at', to_char(greatest(t.last_vacuum, t.last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'analyzed_at', to_char(greatest(t.last_analyze, t.last_autoanalyze) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
FROM behind t ORDER BY t.n_dead_tup DESC, t.name;

SELECT json_build_object('is', 'archive', 'files', a.archived_count, 'failures', a.failed_count,
    'archived_at', to_char(a.last_archived_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'failed_at', to_char(a.last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
FROM pg_stat_archiver a WHERE current_setting('archive_mode') <> 'off';

SELECT json_build_object('is', 'standby', 'name', left(r.application_name, 63), 'state', r.state,
    'behind_bytes', greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, r.sent_lsn)), 0)::bigint)
FROM pg_stat_replication r ORDER BY r.pid LIMIT 10;

SELECT json_build_object('is', 'slot', 'name', s.slot_name, 'is_active', s.active,
    'kept_bytes', greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint)
FROM pg_replication_slots s ORDER BY s.slot_name LIMIT 10;

SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%' AS loaded, d.oid AS database
FROM pg_database d WHERE d.datname = current_database() \gset
\if :loaded
\connect postgres
SET search_path = pg_catalog, pg_temp;
SET client_min_messages = error;
SET statement_timeout = '5s';
SET lock_timeout = '500ms';
SET pg_stat_statements.track = 'none';
CREATE EXTENSION IF NOT EXISTS pg_stat_statements WITH SCHEMA public;
SELECT json_build_object('is', 'statement', 'text', left(s.query, 4000), 'calls', s.calls, 'rows', s.rows,
    'total_us', (s.total_exec_time * 1000)::bigint)
FROM public.pg_stat_statements s WHERE s.dbid = :database AND s.userid <> 10
ORDER BY s.total_exec_time DESC LIMIT 10;
\endif
