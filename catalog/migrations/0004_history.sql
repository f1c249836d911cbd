-- Rights that were asked for and approved, and everything that this node ever hosted.

-- A granted right names its service by its identifiers and not by rows: a declaration that leaves a
-- client out for a while takes nothing away for good, and the next one brings nothing in but what
-- was approved. Its number comes from the sequence of the declared rights, so that a number in a
-- record names one right, whichever way it was given.
CREATE TABLE granted_right (
    number bigint PRIMARY KEY,  -- of access_right_id_seq, as of the request it follows from
    instance text NOT NULL,     -- the providing client
    member_class text NOT NULL,
    member_code text NOT NULL,
    subsystem_code text NOT NULL,
    service_code text NOT NULL CHECK (service_code <> ''),
    method text NOT NULL,
    path text NOT NULL,
    subject text[] NOT NULL,    -- the client that may call: the parts of its identifier
    terms text NOT NULL,        -- as of access_right
    given_at timestamptz NOT NULL
);
CREATE INDEX granted_right_provider
    ON granted_right (instance, member_class, member_code, subsystem_code);

CREATE TABLE service_history (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    begins timestamptz NOT NULL  -- the earliest moment of which everything is known
);
INSERT INTO service_history (begins) VALUES (now());

-- What was hosted as one client from a moment on, until the next row of the same client.
CREATE TABLE client_history (
    instance text NOT NULL,
    member_class text NOT NULL,
    member_code text NOT NULL,
    subsystem_code text NOT NULL,
    version bigint NOT NULL,    -- of server_conf
    since timestamptz NOT NULL, -- never earlier than in the version before
    digest bytea NOT NULL,      -- SHA-256 of the text before it was compressed; empty: not hosted
    content bytea NOT NULL,     -- zlib; empty: not hosted any more
    PRIMARY KEY (instance, member_class, member_code, subsystem_code, version)
);
CREATE INDEX client_history_since ON client_history (since);
