-- Comparisons of a day with another node: what was counted for them, and who asked for one.
--
-- What is counted serves one comparison and is counted anew for the next: so a comparison sees the
-- records as they are, and nothing of it needs to outlive a crash.

CREATE UNLOGGED TABLE reconciliation_count (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    peer     text        NOT NULL, -- server in text form
    own      boolean     NOT NULL, -- we compare, not the peer
    run      uuid        NOT NULL, -- the comparison
    day      date        NOT NULL,
    until    int         NOT NULL, -- second of the day
    messages bigint      NOT NULL DEFAULT 0, -- looked at so far
    beat     timestamptz NOT NULL, -- the counting process was alive
    took     interval,             -- null: not done yet
    failure  text,
    UNIQUE (peer, own, run)
);

-- The messages of the exchanges that may belong to the day.
CREATE UNLOGGED TABLE reconciliation_message (
    count       bigint  NOT NULL REFERENCES reconciliation_count (id) ON DELETE CASCADE,
    exchange_id text    NOT NULL,
    ours        boolean NOT NULL, -- our own client asked
    response    boolean NOT NULL,
    signed      bigint,           -- of a request: second of the epoch
    leaf_hash   bytea   NOT NULL
);
CREATE INDEX reconciliation_message_count ON reconciliation_message (count);

CREATE UNLOGGED TABLE reconciliation_entry (
    count       bigint NOT NULL REFERENCES reconciliation_count (id) ON DELETE CASCADE,
    key         bytea  NOT NULL, -- exchange_tree.py
    consumer    text   NOT NULL, -- server in text form
    exchange_id text   NOT NULL,
    request     bytea  NOT NULL,
    response    bytea  NOT NULL,
    PRIMARY KEY (count, key)
);

-- The ranges that are split.
CREATE UNLOGGED TABLE reconciliation_range (
    count  bigint NOT NULL REFERENCES reconciliation_count (id) ON DELETE CASCADE,
    prefix bytea  NOT NULL,
    parts  bytea  NOT NULL, -- byte, count (8), hash (32), one after another
    PRIMARY KEY (count, prefix)
);

-- What the operator wants to be compared; a node's process takes it and writes down what came of
-- it. Finished ones stay for some time.
CREATE TABLE reconciliation (
    id       uuid        PRIMARY KEY,
    peer     text        NOT NULL, -- server in colon form
    day      date        NOT NULL,
    until    int         NOT NULL,
    asked    timestamptz NOT NULL,
    beat     timestamptz,          -- the process that compares was alive; null: nobody took it yet
    progress text        NOT NULL DEFAULT '',
    outcome  text,                 -- JSON; null: not finished
    finished timestamptz
);
CREATE INDEX reconciliation_asked ON reconciliation (asked);
