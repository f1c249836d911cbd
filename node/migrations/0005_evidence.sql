-- The order of the log: every record gets a place in it, and time-stamps cover ranges of places.
--
-- A record's leaf is queued in the transaction that stores the record. A sequencer gives queued
-- leaves their places: 0, 1, 2, … without gaps, never changed. Both tables of leaves and stamps
-- are only ever added to.

CREATE TABLE evidence_queue (
    number           bigint      PRIMARY KEY, -- of the message record
    time             timestamptz NOT NULL,    -- of the message record
    leaf_hash        bytea       NOT NULL CHECK (length(leaf_hash) = 32),       -- evidence_leaf.py
    signature_digest bytea       NOT NULL CHECK (length(signature_digest) = 64) -- SHA-512
);

-- Rows may go when no record of the same time-stamp is in this database any more: the chains of
-- its other records are computed from them.
CREATE TABLE log_leaf (
    leaf             bigint      PRIMARY KEY,     -- from 0
    number           bigint      NOT NULL UNIQUE, -- of the message record
    time             timestamptz NOT NULL,        -- of the message record
    leaf_hash        bytea       NOT NULL,
    signature_digest bytea       NOT NULL
);

-- A time-stamp over the leaves from first_leaf on: the single form over one, else a hash tree.
CREATE TABLE log_stamp (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_leaf   bigint      NOT NULL UNIQUE,
    leaves       bigint      NOT NULL CHECK (leaves >= 1),
    token        bytea       NOT NULL, -- DER of the bare token, the service's certificate inside
    chain_result bytea,                -- the stamped ts-hashchainresult.xml; null: the single form
    tops         bytea,                -- the tree's nodes over each 1024 leaves, one after another
    gen_time     timestamptz NOT NULL, -- as the service says
    tsa          text        NOT NULL, -- the service's certificate in words
    CHECK ((chain_result IS NULL) = (tops IS NULL) AND (chain_result IS NOT NULL OR leaves = 1))
);

-- One row: how far the log has come. Its lock makes the sequencer one, and the stamper's range sure;
-- who stamps is written down so that services are not asked twice.
CREATE TABLE log_size (
    id            int         PRIMARY KEY CHECK (id = 1),
    leaves        bigint      NOT NULL, -- leaf numbers given out
    stamped       bigint      NOT NULL CHECK (stamped BETWEEN 0 AND leaves), -- leaves below this
    failing_since timestamptz,          -- no time-stamp could be had since then; null: all is well
    failure       text,                 -- why, the last time
    stamper       uuid,                 -- the process that asks for time-stamps at the moment
    stamper_until timestamptz NOT NULL DEFAULT 'epoch' -- after that somebody else may
) WITH (fillfactor = 10);
INSERT INTO log_size (id, leaves, stamped) VALUES (1, 0, 0);

-- Every leaf with its time-stamp, if there is one.
CREATE VIEW leaf_stamp AS
SELECT log_leaf.*, covering.id AS stamp
FROM log_leaf LEFT JOIN LATERAL (
    SELECT id, first_leaf + leaves AS past FROM log_stamp
    WHERE first_leaf <= log_leaf.leaf ORDER BY first_leaf DESC LIMIT 1
) AS covering ON log_leaf.leaf < covering.past;

-- Records from before this migration, and those that a node of the version before writes while
-- the nodes are changed one by one, have no leaf yet. The sequencer queues them and then removes
-- this row.
CREATE TABLE evidence_backlog (
    time    timestamptz NOT NULL, -- records up to here are done
    number  bigint      NOT NULL,
    until   timestamptz NOT NULL  -- later records are none of its business
);
INSERT INTO evidence_backlog
SELECT 'epoch', 0, now() + interval '1 day' WHERE EXISTS (SELECT FROM message_record);
