-- Nothing ever counted in it: requests are counted in each process, codes with their numbers.
DROP TABLE rate_counters;

-- For the upkeep, which deletes what is long over.
CREATE INDEX sessions_over_brin ON sessions USING brin (refresh_expires_at);
