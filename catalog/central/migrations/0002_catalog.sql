-- What institutions offer, as it was harvested, and the versions of the catalog made of it.

-- The last word of each subsystem, and how the last question to it ended.
CREATE TABLE catalog_provider (
    provider text PRIMARY KEY,  -- path form
    asked_at timestamptz NOT NULL,
    answered_at timestamptz,  -- null: never yet
    problem text NOT NULL,  -- why there was no answer, or what of it could not be had; else empty
    plain boolean NOT NULL,  -- its node knows nothing of the catalog
    services bytea  -- JSON, see catalog/central/snapshot; null before the first answer
);

-- When what a subsystem tells changed; never edited.
CREATE TABLE catalog_harvest_change (
    number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    changed_at timestamptz NOT NULL,
    provider text NOT NULL,
    changes text[] NOT NULL  -- in words
);
CREATE INDEX catalog_harvest_change_provider ON catalog_harvest_change (provider, number);

-- One row for each time that everybody was asked.
CREATE TABLE catalog_round (
    number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    asked integer NOT NULL,
    answered integer NOT NULL
);

-- The descriptions of services as their nodes gave them last, for people who read the catalog.
CREATE TABLE catalog_description (
    provider text NOT NULL,
    digest text NOT NULL,  -- as the catalog has it for services of the provider
    content bytea NOT NULL,  -- packed with zlib
    kept_at timestamptz NOT NULL,
    PRIMARY KEY (provider, digest)
);

-- Mappings that the central operator attached to services whose nodes know nothing of them.
CREATE TABLE catalog_mapping (
    provider text NOT NULL,
    service_code text NOT NULL,
    service_version text NOT NULL,  -- empty: none
    mapping text NOT NULL,  -- JSON, see catalog/encoding.py
    attached_at timestamptz NOT NULL,
    attached_by text NOT NULL,
    PRIMARY KEY (provider, service_code, service_version)
);

-- Who attached or took away what; never edited.
CREATE TABLE catalog_mapping_change (
    number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    change text NOT NULL
);

-- The versions that were published. Of old ones only what changed is kept.
CREATE TABLE catalog_version (
    number integer PRIMARY KEY CHECK (number > 0),  -- 1, 2, 3, … without gaps
    made_at timestamptz NOT NULL,
    digest bytea NOT NULL,  -- SHA-256 of the content
    content bytea,  -- as it is published, see catalog/central/encoding.py
    bytes integer NOT NULL,
    services integer NOT NULL,
    fields integer NOT NULL,
    changes text[] NOT NULL  -- in words, the first of them where there are very many
);
