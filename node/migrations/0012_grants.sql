-- Grants that clients of this node asked others for, and that others asked its clients for.
--
-- A request has one row at the consumer's node and one at the provider's; `id` is the same. The
-- right that follows from one at the provider's node has its number: see `granted_right`.

CREATE TABLE grant_request (
    number       bigint      PRIMARY KEY, -- of access_right_id_seq
    side         text        NOT NULL CHECK (side IN ('consumer', 'provider')), -- what we are
    id           uuid        NOT NULL,
    client       text        NOT NULL, -- path form: who would get the right
    member       text        NOT NULL, -- its member
    provider     text        NOT NULL, -- path form
    service_code text        NOT NULL,
    method       text        NOT NULL,
    path         text        NOT NULL,
    terms        text        NOT NULL, -- asked for; as of access_right
    reason       text        NOT NULL,
    state        text        NOT NULL,
    given        text,                 -- terms of the right; null: none was ever given
    answer       text        NOT NULL DEFAULT '', -- what was said with the last change
    peer         text        NOT NULL, -- the other node, path form; empty while it is not known
    their_number bigint,               -- at the other node; null: not known
    asked_at     timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    UNIQUE (id, side)
);
CREATE INDEX grant_request_member ON grant_request (member, asked_at) WHERE side = 'provider';
CREATE INDEX grant_request_waiting ON grant_request (state) WHERE state = 'waiting';
CREATE INDEX grant_request_changed ON grant_request (changed_at);

-- Everything that happened to a request, at this node.
CREATE TABLE grant_step (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number      bigint      NOT NULL REFERENCES grant_request ON DELETE CASCADE,
    time        timestamptz NOT NULL,
    what        text        NOT NULL,
    who         text        NOT NULL, -- an account of this node, or a client
    exchange_id text        NOT NULL, -- of the signed message by which it came or went; empty: none
    said        text        NOT NULL
);
CREATE INDEX grant_step_number ON grant_step (number);

-- What the other node is to be told; one after the other for one request.
CREATE TABLE grant_message (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number   bigint      NOT NULL REFERENCES grant_request ON DELETE CASCADE,
    what     text        NOT NULL, -- as in grant_step
    body     bytea       NOT NULL,
    written  timestamptz NOT NULL,
    due      timestamptz NOT NULL, -- nobody tries before
    attempts int         NOT NULL DEFAULT 0,
    problem  text        NOT NULL DEFAULT '', -- of the last attempt
    ended    timestamptz -- it was taken, or given up
);
CREATE INDEX grant_message_open ON grant_message (due) WHERE ended IS NULL;
CREATE INDEX grant_message_number ON grant_message (number);
