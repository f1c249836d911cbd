-- Terms of rights, and what is said of services: JSON as `catalog/encoding.py` writes it.
--
-- A subject may have several rights to one endpoint, under terms that differ. The digest stands in
-- the key for terms of any length; the same terms are always the same text.

ALTER TABLE access_right
    ADD COLUMN terms text NOT NULL DEFAULT '',  -- empty: none
    ADD COLUMN terms_digest bytea NOT NULL DEFAULT '',  -- SHA-256 of `terms`, empty without
    DROP CONSTRAINT access_right_endpoint_id_subject_type_subject_key,
    ADD UNIQUE (endpoint_id, subject_type, subject, terms_digest);

ALTER TABLE service
    ADD COLUMN mapping text NOT NULL DEFAULT '',  -- empty: none but its description's
    ADD COLUMN about text NOT NULL DEFAULT '';  -- empty: nothing

ALTER TABLE description
    ADD COLUMN mappings text NOT NULL DEFAULT '',  -- what it says of facts; empty: nothing
    ADD COLUMN digest bytea NOT NULL GENERATED ALWAYS AS (sha256(content)) STORED;
