-- The central operator's records: what the trust list is built from.
-- Identifiers are natural keys, so that requests may refer to them. A row here is decided;
-- what is asked for and not decided yet belongs in tables of its own.

CREATE TABLE registry_instance (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    instance text NOT NULL CHECK (instance <> ''),
    ocsp_freshness interval NOT NULL CHECK (ocsp_freshness > interval '0'),
    time_stamping_interval interval NOT NULL CHECK (time_stamping_interval > interval '0'),
    owners_group text NOT NULL,
    registration_url text NOT NULL,
    registration_certificate bytea,
    provider_class text NOT NULL,
    provider_code text NOT NULL,
    provider_subsystem text  -- null: the member itself provides the management services
);

CREATE TABLE member_class (
    code text PRIMARY KEY CHECK (code <> ''),
    description text NOT NULL,
    position integer NOT NULL
);

CREATE TABLE member (
    member_class text NOT NULL REFERENCES member_class (code),
    member_code text NOT NULL CHECK (member_code <> ''),
    name text NOT NULL,
    PRIMARY KEY (member_class, member_code)
);

CREATE TABLE subsystem (
    member_class text NOT NULL,
    member_code text NOT NULL,
    subsystem_code text NOT NULL CHECK (subsystem_code <> ''),
    name text,
    PRIMARY KEY (member_class, member_code, subsystem_code),
    FOREIGN KEY (member_class, member_code) REFERENCES member
);

CREATE TABLE server (
    owner_class text NOT NULL,
    owner_code text NOT NULL,
    server_code text NOT NULL CHECK (server_code <> ''),
    address text,
    maintenance text,  -- the notice, may be empty; null when not in maintenance
    PRIMARY KEY (owner_class, owner_code, server_code),
    FOREIGN KEY (owner_class, owner_code) REFERENCES member
);

CREATE TABLE auth_certificate (
    sha256 bytea PRIMARY KEY GENERATED ALWAYS AS (sha256(certificate)) STORED,
    certificate bytea NOT NULL,  -- DER
    owner_class text NOT NULL,
    owner_code text NOT NULL,
    server_code text NOT NULL,
    position integer NOT NULL,
    FOREIGN KEY (owner_class, owner_code, server_code) REFERENCES server
);
CREATE INDEX auth_certificate_server ON auth_certificate (owner_class, owner_code, server_code);

-- Members and subsystems that a server hosts; its owner is one without a row.
CREATE TABLE hosted_client (
    owner_class text NOT NULL,
    owner_code text NOT NULL,
    server_code text NOT NULL,
    member_class text NOT NULL,
    member_code text NOT NULL,
    subsystem_code text,  -- null: the member itself
    enabled boolean NOT NULL,  -- a disabled one is kept and not published
    FOREIGN KEY (owner_class, owner_code, server_code) REFERENCES server,
    FOREIGN KEY (member_class, member_code) REFERENCES member,
    FOREIGN KEY (member_class, member_code, subsystem_code) REFERENCES subsystem
);
CREATE UNIQUE INDEX hosted_client_once ON hosted_client (
    owner_class, owner_code, server_code, member_class, member_code, coalesce(subsystem_code, '')
);

CREATE TABLE certification_service (
    name text PRIMARY KEY,
    position integer NOT NULL,
    profile text NOT NULL,  -- X-Road's class name
    authentication_only boolean NOT NULL,
    default_csr_format text CHECK (default_csr_format IN ('PEM', 'DER')),
    acme_directory_url text,  -- null: no ACME
    acme_ip_address text,
    acme_auth_profile_id text,
    acme_sign_profile_id text
);

CREATE TABLE authority (
    service text NOT NULL REFERENCES certification_service (name),
    position integer NOT NULL,  -- 0 is the top CA, the others are intermediate
    certificate bytea NOT NULL,
    PRIMARY KEY (service, position)
);

CREATE TABLE ocsp_responder (
    service text NOT NULL,
    authority integer NOT NULL,
    position integer NOT NULL,
    url text NOT NULL,
    certificate bytea,
    cost text NOT NULL CHECK (cost IN ('FREE', 'PAID', 'UNDEFINED')),
    PRIMARY KEY (service, authority, position),
    FOREIGN KEY (service, authority) REFERENCES authority (service, position)
);

CREATE TABLE time_stamping_service (
    url text PRIMARY KEY,
    position integer NOT NULL,
    name text NOT NULL,
    certificate bytea NOT NULL,
    cost text NOT NULL CHECK (cost IN ('FREE', 'PAID', 'UNDEFINED'))
);

CREATE TABLE global_group (
    code text PRIMARY KEY CHECK (code <> ''),
    description text NOT NULL
);

-- Members of other instances may be in a group too, so there is no reference to ours.
CREATE TABLE group_member (
    group_code text NOT NULL REFERENCES global_group (code),
    instance text NOT NULL,
    member_class text NOT NULL,
    member_code text NOT NULL,
    subsystem_code text
);
CREATE UNIQUE INDEX group_member_once ON group_member (
    group_code, instance, member_class, member_code, coalesce(subsystem_code, '')
);

CREATE TABLE federation (
    instance text PRIMARY KEY,
    anchor bytea NOT NULL  -- XML, as it came
);

CREATE TABLE configuration_part (
    identifier text PRIMARY KEY,
    file_name text NOT NULL UNIQUE,
    content bytea NOT NULL
);

-- Who may sign the configuration, by the address under which a registry machine publishes it.
-- The private key is a file on that machine, named by the key's id.
CREATE TABLE configuration_key (
    id text PRIMARY KEY,
    address text NOT NULL,
    source text NOT NULL CHECK (source IN ('internal', 'external')),
    certificate bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    active boolean NOT NULL
);
CREATE UNIQUE INDEX configuration_key_active ON configuration_key (address, source) WHERE active;

-- One row per applied declaration, never edited.
CREATE TABLE registry_change (
    number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    applied_at timestamptz NOT NULL,
    applied_by text NOT NULL,
    digest bytea NOT NULL,  -- SHA-256 over everything the records say after the change
    changes text[] NOT NULL
);
