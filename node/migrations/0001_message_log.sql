-- The message log: what is left as proof of every exchange, one row per message.
--
-- Rows are inserted and, once archived, dropped with their whole day; never edited.
-- Identifiers stand in their path form (EX/GOV/1234567/portal), which has no ambiguity.

CREATE SEQUENCE message_record_number;

CREATE TABLE message_record (
    number            bigint      NOT NULL, -- unique; grows within one writing process
    time              timestamptz NOT NULL,
    side              text        NOT NULL CHECK (side IN ('consumer', 'provider')),
    response          boolean     NOT NULL,
    exchange_id       text        NOT NULL, -- x-road-request-id
    message_id        text        NOT NULL, -- X-Road-Id
    client            text        NOT NULL,
    provider          text        NOT NULL,
    service_code      text        NOT NULL,
    service_version   text,
    local_client      text        NOT NULL, -- our own party: the client or the provider
    peer              text        NOT NULL, -- the other server; empty when it is not known
    message           bytea       NOT NULL,
    signature         bytea       NOT NULL,
    hash_chain_result bytea,
    hash_chain        bytea,
    body_digest       bytea,                -- SHA-512; null when the message has no body
    body_size         bigint,
    body              bytea,                -- null when it is in a file, or was not kept
    body_file         text,                 -- below the body folder
    PRIMARY KEY (time, number)
) PARTITION BY RANGE (time);

-- Signatures are mostly random and time matters more than space: nothing is compressed, and what
-- makes a row large is stored beside it. Measured: twice the rows per second of the default.
ALTER TABLE message_record ALTER message SET STORAGE EXTERNAL;
ALTER TABLE message_record ALTER signature SET STORAGE EXTERNAL;
ALTER TABLE message_record ALTER hash_chain_result SET STORAGE EXTERNAL;
ALTER TABLE message_record ALTER hash_chain SET STORAGE EXTERNAL;
ALTER TABLE message_record ALTER body SET STORAGE EXTERNAL;

CREATE INDEX message_record_message_id ON message_record (message_id);
CREATE INDEX message_record_exchange_id ON message_record (exchange_id);
CREATE INDEX message_record_peer ON message_record (peer, time, number);
CREATE INDEX message_record_service ON message_record (provider, service_code, time, number);

-- Whether a partition is there. It looks into the tables, not into the session's cache of names,
-- which does not learn of others' work while we wait for an advisory lock.
CREATE FUNCTION has_message_partition(partition text) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (
        SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'message_record'::regclass AND relname = partition
    )
$$;

-- Make sure that the records of one day (UTC) have a place. A new partition is attached, which
-- lets others read and write meanwhile; creating it in place would lock everybody out.
CREATE FUNCTION ensure_message_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'message_record_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF has_message_partition(partition) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('sacbe message partitions', 0));
    IF has_message_partition(partition) THEN -- somebody made it while we waited
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE message_record INCLUDING CONSTRAINTS INCLUDING STORAGE)',
        partition
    );
    EXECUTE format(
        'ALTER TABLE message_record ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition,
        day::timestamp AT TIME ZONE 'UTC',
        (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
END
$$;

-- What a provider has accepted lately, so that a signed request counts once.
CREATE TABLE replay_key (
    key    bytea       PRIMARY KEY, -- decisions/0002
    number bigint      NOT NULL,    -- the record that was accepted
    seen   timestamptz NOT NULL
);
CREATE INDEX replay_key_seen ON replay_key (seen);

-- One row that is written to learn whether the database takes writes.
CREATE TABLE message_log_probe (
    id      int         PRIMARY KEY CHECK (id = 1),
    checked timestamptz NOT NULL
);
INSERT INTO message_log_probe VALUES (1, now());
