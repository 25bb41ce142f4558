-- What paid work was estimated at, what was committed for it when it was submitted, and what it came to.
CREATE TABLE ledger (
    key TEXT PRIMARY KEY,             -- the job's
    run_id TEXT NOT NULL REFERENCES runs (id),
    plan_hash TEXT NOT NULL,
    backend TEXT NOT NULL,
    hardware TEXT NOT NULL,
    person TEXT NOT NULL,             -- who asked for the run, such as slack:U1
    channel TEXT NOT NULL,
    estimated_usd REAL,
    committed_usd REAL NOT NULL,
    actual_usd REAL,                  -- empty until the job has ended
    at TEXT NOT NULL
);
CREATE INDEX ledger_by_run ON ledger (run_id);
CREATE INDEX ledger_by_time ON ledger (at);
