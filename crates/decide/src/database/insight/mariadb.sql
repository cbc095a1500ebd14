SET SESSION sql_log_off = 1, SESSION slow_query_log = 0, SESSION sql_log_bin = 0, SESSION sql_mode = '';
SET SESSION max_statement_time = 5, SESSION lock_wait_timeout = 1;
SELECT JSON_OBJECT('is', 'size', 'bytes', CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED))
FROM information_schema.TABLES WHERE TABLE_SCHEMA = :database AND TABLE_TYPE = 'BASE TABLE';
SELECT JSON_OBJECT('is', 'server', 'version', VERSION(), 'most', @@max_connections,
    'hits', (SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_BUFFER_POOL_READ_REQUESTS'),
    'reads', (SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_BUFFER_POOL_READS'),
    'slow', (SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'SLOW_QUERIES'),
    'has_statements', JSON_COMPACT(IF(@@performance_schema, 'true', 'false')));
SELECT JSON_OBJECT('is', 'connections', 'state', LOWER(COMMAND), 'count', COUNT(*))
FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND <> 'Daemon'
GROUP BY COMMAND ORDER BY COUNT(*) DESC LIMIT 10;
SELECT JSON_OBJECT('is', 'transaction', 'role', LEFT(COALESCE(p.USER, ''), 80), 'state', LOWER(t.trx_state),
    'age_ms', CAST(GREATEST(TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)), 0) DIV 1000 AS UNSIGNED))
FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id NOT IN (0, CONNECTION_ID()) ORDER BY t.trx_started LIMIT 1;
SELECT JSON_OBJECT('is', 'relation', 'kind', 'table', 'name', TABLE_NAME, 'bytes', DATA_LENGTH)
FROM information_schema.TABLES WHERE TABLE_SCHEMA = :database AND TABLE_TYPE = 'BASE TABLE' AND DATA_LENGTH IS NOT NULL
ORDER BY DATA_LENGTH DESC, TABLE_NAME LIMIT 10;
SELECT JSON_OBJECT('is', 'relation', 'kind', 'index', 'name', CONCAT(table_name, '.', index_name), 'bytes', stat_value * @@innodb_page_size)
FROM mysql.innodb_index_stats WHERE database_name = :database AND stat_name = 'size' AND index_name NOT IN ('PRIMARY', 'GEN_CLUST_INDEX')
ORDER BY stat_value DESC, table_name, index_name LIMIT 10;
SELECT JSON_OBJECT('is', 'statement', 'text', LEFT(DIGEST_TEXT, 4000), 'calls', COUNT_STAR, 'rows', SUM_ROWS_SENT + SUM_ROWS_AFFECTED,
    'total_us', SUM_TIMER_WAIT DIV 1000000)
FROM performance_schema.events_statements_summary_by_digest WHERE SCHEMA_NAME = :database AND DIGEST_TEXT IS NOT NULL
ORDER BY SUM_TIMER_WAIT DESC LIMIT 10;
