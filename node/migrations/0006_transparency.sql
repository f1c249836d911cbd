-- The log as a tree: what others can hold against it, and what it holds against others.

-- Hashes of the tree above its leaves, 256 in a full row; level 0 are the leaves (log_leaf).
CREATE TABLE log_tile (
    level  int    NOT NULL CHECK (level BETWEEN 1 AND 7),
    tile   bigint NOT NULL,
    hashes bytea  NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, tile)
);

-- One row: how far the tree has come. Who has its lock makes the next checkpoint.
CREATE TABLE log_tree (
    id     int    PRIMARY KEY CHECK (id = 1),
    size   bigint NOT NULL, -- leaves in it
    stored bigint NOT NULL, -- leaves whose full tiles are in the archive store
    published bigint NOT NULL -- size of the newest checkpoint in the archive store
) WITH (fillfactor = 10);
INSERT INTO log_tree VALUES (1, 0, 0, 0);

CREATE TABLE log_checkpoint (
    size  bigint      PRIMARY KEY,
    at    timestamptz NOT NULL,
    note  bytea       NOT NULL, -- with the log's own two signatures
    key   text        NOT NULL, -- that made them
    token bytea,                -- RFC 3161 over the note's SHA-512; null: not had yet
    stored boolean    NOT NULL DEFAULT false -- in the archive store, with its time-stamp
);
CREATE INDEX ON log_checkpoint (size) WHERE token IS NULL;
CREATE INDEX ON log_checkpoint (size) WHERE NOT stored;

-- What witnesses signed below a checkpoint.
CREATE TABLE log_cosignature (
    size    bigint      NOT NULL REFERENCES log_checkpoint (size),
    witness text        NOT NULL,
    key     text        NOT NULL,
    line    text        NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (size, witness)
);

-- Containers in which the owner says that it stands for the log's key.
CREATE TABLE log_statement (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key       text        NOT NULL,
    signer    bytea       NOT NULL, -- SHA-256 of the signing certificate
    container bytea       NOT NULL,
    stamped   boolean     NOT NULL,
    at        timestamptz NOT NULL,
    stored    boolean     NOT NULL DEFAULT false -- in the archive store
);
CREATE INDEX ON log_statement (at);

-- Nodes that were met in exchanges and said that they are witnesses.
CREATE TABLE witness_peer (
    origin   text        PRIMARY KEY,
    provider text        NOT NULL, -- a client of that node, to which requests can be sent
    met      timestamptz NOT NULL,
    handed   bigint      NOT NULL, -- size of the checkpoint that it has
    tried    timestamptz NOT NULL
);

CREATE TABLE witnessed_log (
    origin text        PRIMARY KEY,
    key    text        NOT NULL,
    size   bigint      NOT NULL,
    root   bytea       NOT NULL,
    note   bytea       NOT NULL,
    at     timestamptz NOT NULL, -- as the log says
    seen   timestamptz NOT NULL
);

CREATE TABLE witness_alarm (
    number  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin  text        NOT NULL,
    alarm   text        NOT NULL,
    text    text        NOT NULL,
    at      timestamptz NOT NULL,
    kept    bytea,                -- the note that was kept before
    note    bytea       NOT NULL, -- the note that was announced
    source  bytea       NOT NULL, -- the exchange, or the container, that brought it
    settled timestamptz
);
CREATE INDEX ON witness_alarm (origin) WHERE settled IS NULL;
