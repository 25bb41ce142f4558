CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    request TEXT NOT NULL,            -- JSON of graph.state.Request
    question TEXT,                    -- JSON of graph.state.Question, while one is open
    cancel_requested_by TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX runs_by_time ON runs (created_at);

CREATE TABLE events (
    run_id TEXT NOT NULL REFERENCES runs (id),
    seq INTEGER NOT NULL,
    at TEXT NOT NULL,
    type TEXT NOT NULL,
    stage TEXT,
    payload TEXT NOT NULL,            -- JSON
    key TEXT,                         -- set where a replayed stage must not say a thing twice
    PRIMARY KEY (run_id, seq)
);
CREATE UNIQUE INDEX events_by_key ON events (run_id, key) WHERE key IS NOT NULL;

CREATE TABLE decisions (
    interrupt_id TEXT PRIMARY KEY,    -- the first insert wins
    run_id TEXT NOT NULL REFERENCES runs (id),
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    actor TEXT NOT NULL,
    surface TEXT NOT NULL,
    price_usd REAL,
    plan_hash TEXT,
    why TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL
);
CREATE INDEX decisions_by_run ON decisions (run_id);

CREATE TABLE effects (
    key TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    state TEXT NOT NULL CHECK (state IN ('claimed', 'done')),
    result TEXT                       -- JSON
);
CREATE INDEX effects_by_run ON effects (run_id);

CREATE TABLE leases (
    run_id TEXT PRIMARY KEY REFERENCES runs (id),
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    expires_at REAL NOT NULL          -- POSIX seconds; 0 once released
);
