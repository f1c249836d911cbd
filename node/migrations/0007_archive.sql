-- What was archived, and where.
--
-- A file is written down before it goes to the store, and again when it was read back from there;
-- its records may be removed only after that.

CREATE TABLE archive_file (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    party      text        NOT NULL, -- member or subsystem in path form; empty: not grouped
    name       text        NOT NULL, -- in the store
    digest     text        NOT NULL, -- the last one of its chain
    bytes      bytea       NOT NULL, -- SHA-256 of the stored file, encrypted or not
    size       bigint      NOT NULL, -- of the stored file
    containers int         NOT NULL CHECK (containers >= 1),
    first_leaf bigint      NOT NULL, -- others may lie between first and last
    last_leaf  bigint      NOT NULL,
    first_time timestamptz NOT NULL, -- of the earliest record
    last_time  timestamptz NOT NULL,
    made       timestamptz NOT NULL,
    stored     timestamptz           -- when it had been read back; null: not yet
);
-- One at a time: the next file goes on where this one ends.
CREATE UNIQUE INDEX archive_file_in_work ON archive_file ((stored IS NULL)) WHERE stored IS NULL;
CREATE INDEX archive_file_party ON archive_file (party, id);

-- Which record is in which file. Rows go with their leaves.
CREATE TABLE archive_entry (
    leaf bigint PRIMARY KEY, -- of log_leaf
    file bigint NOT NULL REFERENCES archive_file (id)
);
CREATE INDEX archive_entry_file ON archive_entry (file);

-- Where each chain of files goes on.
CREATE TABLE archive_end (
    party  text PRIMARY KEY,
    digest text NOT NULL,
    file   text NOT NULL
);

-- Records that could not be put into a container; they stay in the database and are tried again.
CREATE TABLE archive_trouble (
    leaf   bigint      PRIMARY KEY,
    reason text        NOT NULL,
    since  timestamptz NOT NULL,
    tried  timestamptz NOT NULL
);

-- One row: who archives at the moment, and how it goes.
CREATE TABLE archive_state (
    id            int         PRIMARY KEY CHECK (id = 1),
    done          bigint      NOT NULL, -- every leaf below this is in a file or in trouble
    worker        uuid,                 -- the process that archives at the moment
    worker_until  timestamptz NOT NULL, -- after that somebody else may
    last_success  timestamptz,
    failing_since timestamptz,
    failure       text
) WITH (fillfactor = 10);
INSERT INTO archive_state (id, done, worker_until) VALUES (1, 0, 'epoch');
