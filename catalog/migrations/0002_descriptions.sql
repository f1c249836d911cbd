-- Descriptions of services: where they are, and what was last found there.
--
-- A description belongs to a client and an address, however many services share it. What is kept of
-- it answers for it while its system is down; its endpoints are part of what the node goes by.

ALTER TABLE service
    ADD COLUMN description_url text NOT NULL DEFAULT '',  -- empty: none
    ADD COLUMN title text NOT NULL DEFAULT '',
    ADD COLUMN repair_headers boolean NOT NULL DEFAULT false;

ALTER TABLE hosted_client
    ADD COLUMN repairs text[] NOT NULL DEFAULT '{}';

CREATE TABLE description (
    client_id bigint NOT NULL REFERENCES hosted_client ON DELETE CASCADE,
    type text NOT NULL CHECK (type IN ('OPENAPI', 'WSDL')),
    url text NOT NULL CHECK (url <> ''),
    verify_tls boolean NOT NULL,
    content bytea NOT NULL,  -- as downloaded
    content_types text[] NOT NULL,  -- every Content-Type header of the download
    endpoints text[] NOT NULL,  -- "METHOD path"
    warnings text[] NOT NULL,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, type, url, verify_tls)
);
