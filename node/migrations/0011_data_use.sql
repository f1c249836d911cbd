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
    spared          int         NOT NULL DEFAULT 0, -- submissions, told by a resolver
    detail          text        NOT NULL DEFAULT '' -- of a refusal, for the operator alone
);

-- A record whose commit was in doubt is written again; its use then is there already.
CREATE UNIQUE INDEX data_use_exchange ON data_use (exchange_id, side, time);
CREATE INDEX data_use_subject ON data_use (subject, time) WHERE subject IS NOT NULL;
CREATE INDEX data_use_time ON data_use (time);
CREATE INDEX data_use_grant ON data_use (grant_number, time) WHERE grant_number <> 0;

-- Calls under a grant with a quota, numbered as they come: whether there is room for another one is
-- one look at the call so many numbers before, however large the quota is.
CREATE TABLE quota_call (
    grant_number bigint      NOT NULL,
    number       bigint      NOT NULL,
    time         timestamptz NOT NULL, -- grows with the number
    PRIMARY KEY (grant_number, number)
);

-- Counts a call and gives null, or gives the calls within the time when there are as many as may
-- be. One after the other for each grant, whichever process asks: each statement of a function
-- sees what was committed when it began, and the lock is held until the end.
CREATE FUNCTION take_quota_call(of_grant bigint, at timestamptz, per interval, most bigint)
    RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    last  quota_call;
    limit_time timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('quota_call', of_grant));
    SELECT * INTO last FROM quota_call WHERE grant_number = of_grant ORDER BY number DESC LIMIT 1;
    IF last.number IS NULL THEN
        last.number := 0;
    ELSE
        at := greatest(at, last.time);  -- clocks of processes differ
    END IF;
    limit_time := at - per;
    DELETE FROM quota_call
        WHERE grant_number = of_grant AND time <= limit_time
        AND number IN (
            SELECT number FROM quota_call WHERE grant_number = of_grant ORDER BY number LIMIT 4
        );
    IF most <= 0 OR EXISTS (
        SELECT FROM quota_call
        WHERE grant_number = of_grant AND number = last.number - most + 1 AND time > limit_time
    ) THEN
        RETURN (
            SELECT count(*) FROM quota_call WHERE grant_number = of_grant AND time > limit_time
        );
    END IF;
    INSERT INTO quota_call VALUES (of_grant, last.number + 1, at);
    RETURN NULL;
END
$$;
