-- What the central operator said about facts, whole for each time that something changed.
-- A row is never edited; the newest one counts.

CREATE TABLE vocabulary_version (
    number integer PRIMARY KEY CHECK (number > 0),  -- 1, 2, 3, … without gaps
    applied_at timestamptz NOT NULL,
    applied_by text NOT NULL,
    changes text[] NOT NULL,  -- in words, the first of them where there are very many
    content bytea NOT NULL,  -- JSON, see catalog/meaning/encoding.py
    digest bytea NOT NULL GENERATED ALWAYS AS (sha256(content)) STORED
);
