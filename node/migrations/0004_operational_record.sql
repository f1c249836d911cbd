-- Operational monitoring: one row per exchange and side, kept for some days.
--
-- Rows are inserted and, when they are old, removed: whole days by dropping their partition.

CREATE TABLE operational_record (
    monitoring_data_ts        bigint  NOT NULL, -- seconds of the epoch: when it was stored
    internal_ip               text    NOT NULL,
    server_type               text    NOT NULL CHECK (server_type IN ('Client', 'Producer')),
    request_in_ts             bigint  NOT NULL, -- milliseconds of the epoch, and so on
    request_out_ts            bigint,
    response_in_ts            bigint,
    response_out_ts           bigint  NOT NULL,
    client                    text,             -- in path form: EX/GOV/1234567/portal
    provider                  text,
    service_code              text,
    service_version           text,
    rest_method               text,
    rest_path                 text,             -- the pattern of an endpoint
    message_id                text,
    message_user_id           text,
    message_issue             text,
    represented_party_class   text,
    represented_party_code    text,
    message_protocol_version  text,
    client_server_address     text,
    service_server_address    text,
    request_size              bigint,
    response_size             bigint,
    request_mime_size         bigint,
    response_mime_size        bigint,
    request_attachment_count  integer,
    response_attachment_count integer,
    succeeded                 boolean NOT NULL,
    status_code               integer,
    fault_code                text,
    fault_string              text,
    service_type              text,
    x_request_id              text,
    x_road_version            text    NOT NULL
) PARTITION BY RANGE (monitoring_data_ts);

-- Identifiers may be longer than an index takes, so that only their beginning is in it.
CREATE INDEX operational_record_ts ON operational_record (monitoring_data_ts);
CREATE INDEX operational_record_client
    ON operational_record (left(client, 200), monitoring_data_ts);
CREATE INDEX operational_record_provider
    ON operational_record (left(provider, 200), monitoring_data_ts);

-- What was stored together: a batch whose commit is in doubt is stored again under its id, once.
CREATE TABLE operational_batch (
    id     uuid   PRIMARY KEY,
    stored bigint NOT NULL -- seconds of the epoch
);
CREATE INDEX operational_batch_stored ON operational_batch (stored);

-- Make sure that the records of one day (UTC) have a place.
CREATE FUNCTION ensure_operational_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'operational_record_' || to_char(day, 'YYYYMMDD');
    first_second bigint := extract(epoch FROM day::timestamp AT TIME ZONE 'UTC');
BEGIN
    IF has_day_partition('operational_record', partition) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('sacbe operational partitions', 0));
    IF has_day_partition('operational_record', partition) THEN -- made while we waited
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE operational_record INCLUDING CONSTRAINTS)', partition);
    EXECUTE format(
        'ALTER TABLE operational_record ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition,
        first_second,
        first_second + 86400
    );
END
$$;
