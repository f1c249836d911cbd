-- Messages and bodies may be encrypted at rest; digests, sizes and identifiers stay as they are.
--
-- A row is encrypted with the newest key of the day it was written, and never again: rows are not
-- edited. What is encrypted: message, body, the file of a body.

ALTER TABLE message_record ADD COLUMN key_id text;     -- of the key ring; null: not encrypted
ALTER TABLE message_attachment ADD COLUMN key_id text; -- of the key ring; null: not encrypted

-- Every key that ever encrypted here, with something that only this key opens.
CREATE TABLE log_key (
    id         text        PRIMARY KEY,
    proof      bytea       NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now()
);
