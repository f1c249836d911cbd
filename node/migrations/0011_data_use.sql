-- Who used whose data for what: one row per exchange and side that is about somebody, or that was
-- asked for under terms. Written in the commit of the message record that it belongs to; what was
-- refused before anything was logged is written by itself. The subject is a keyed pseudonym.

CREATE TABLE data_use (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time            timestamptz NOT NULL,
    side            text        NOT NULL CHECK (side IN ('consumer', 'provider')),
    exchange_id     text        NOT NULL,
    message_id      text        NOT NULL,
    client          text        NOT NULL, -- path form, as in message_record
    provider        text        NOT NULL,
    service_code    text        NOT NULL,
    service_version text,
    peer            text        NOT NULL,
    subject         bytea,                -- pseudonym; null: nobody that we know of
    purpose         text        NOT NULL,
    legal_basis     text        NOT NULL,
    procedure       text        NOT NULL,
    case_id         text        NOT NULL,
    official        text        NOT NULL,
    mandate         text        NOT NULL,
    grant_number    bigint      NOT NULL, -- 0: a right without terms
    given           text[]      NOT NULL,
    withheld        text[]      NOT NULL,
    derived         text[]      NOT NULL,
    refusal         text        NOT NULL, -- empty: facts were given
    openness        text        NOT NULL CHECK (openness IN ('open', 'delayed', 'sealed')),
    visible_from    timestamptz,
    spared          int         NOT NULL DEFAULT 0 -- submissions, told by a resolver
);

-- A record whose commit was in doubt is written again; its use then is there already.
CREATE UNIQUE INDEX data_use_exchange ON data_use (exchange_id, side, time);
CREATE INDEX data_use_subject ON data_use (subject, time) WHERE subject IS NOT NULL;
CREATE INDEX data_use_time ON data_use (time);
CREATE INDEX data_use_grant ON data_use (grant_number, time) WHERE grant_number <> 0;
