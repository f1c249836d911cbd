-- What nodes announced of their logs, and what was wrong with them.

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
