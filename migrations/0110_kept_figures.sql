-- Figures that take long to make, as they were last made, and who asks for them. A cache: it may be lost.
CREATE UNLOGGED TABLE analytics_kept (
    report        text PRIMARY KEY,
    zone          text NOT NULL,
    figures       text NOT NULL,
    made_at       timestamptz NOT NULL,
    made_in       interval NOT NULL,
    asked_at      timestamptz NOT NULL,
    claimed_until timestamptz
);
COMMENT ON COLUMN analytics_kept.made_in IS 'how long the making took';
COMMENT ON COLUMN analytics_kept.claimed_until IS 'until when one process makes them anew';
