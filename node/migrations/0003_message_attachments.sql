-- The second and all further attachments of a message; the first is in the message's own row.
--
-- They are inserted with that row and dropped with its day; never edited.

ALTER TABLE message_record ADD COLUMN further_attachments integer; -- null: none

CREATE TABLE message_attachment (
    number      bigint      NOT NULL, -- of the message record
    time        timestamptz NOT NULL, -- of the message record
    position    integer     NOT NULL CHECK (position >= 2), -- attachment2, attachment3, …
    body_digest bytea       NOT NULL, -- SHA-512
    body_size   bigint      NOT NULL,
    body        bytea,                -- null when it is in a file, or was not kept
    body_file   text,                 -- below the body folder
    PRIMARY KEY (time, number, position)
) PARTITION BY RANGE (time);

ALTER TABLE message_attachment ALTER body SET STORAGE EXTERNAL;

-- As has_message_partition of 0001, for either table.
CREATE FUNCTION has_day_partition(parent regclass, partition text) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (
        SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = parent AND relname = partition
    )
$$;

-- Make sure that the records of one day (UTC) and their attachments have a place.
CREATE OR REPLACE FUNCTION ensure_message_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    partition text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['message_record', 'message_attachment'] LOOP
        partition := parent || '_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN has_day_partition(parent::regclass, partition);
        PERFORM pg_advisory_xact_lock(hashtextextended('sacbe message partitions', 0));
        CONTINUE WHEN has_day_partition(parent::regclass, partition); -- made while we waited
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING CONSTRAINTS INCLUDING STORAGE)', partition, parent
        );
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent,
            partition,
            day::timestamp AT TIME ZONE 'UTC',
            (day + 1)::timestamp AT TIME ZONE 'UTC'
        );
    END LOOP;
END
$$;

DROP FUNCTION has_message_partition(text);
