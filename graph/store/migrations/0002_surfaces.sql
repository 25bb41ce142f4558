-- What people are called where ids are unreadable, as in Slack; wishes for a plan that is not made yet.
ALTER TABLE decisions ADD COLUMN actor_name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN wishes TEXT NOT NULL DEFAULT '{}';   -- JSON: settings for the plan

-- Which surface shows which run, where, and up to which event it has told it.
CREATE TABLE shown_runs (
    surface TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    place TEXT NOT NULL,              -- the surface's own address of the conversation
    told INTEGER NOT NULL DEFAULT -1, -- seq
    PRIMARY KEY (surface, run_id)
);
CREATE INDEX shown_runs_by_place ON shown_runs (surface, place);

-- Which message shows which card.
CREATE TABLE shown_cards (
    surface TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    handle TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (surface, run_id, key)
);

-- What came in from a surface: written before it is acknowledged, handled once, found again after a crash.
CREATE TABLE inbox (
    surface TEXT NOT NULL,
    key TEXT NOT NULL,                -- the surface's own id of the event
    body TEXT NOT NULL,               -- JSON; emptied once handled
    at TEXT NOT NULL,
    holder TEXT NOT NULL,             -- the process that handles it
    handled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (surface, key)
);
CREATE INDEX inbox_open ON inbox (surface) WHERE handled = 0;

-- One process at a time shows a surface's runs.
CREATE TABLE projecting (
    surface TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at REAL NOT NULL          -- POSIX seconds
);
