-- What a node hosts and who may call it.
--
-- Identifiers stand as text, since a subject may be of any instance; an empty subsystem code means
-- the member itself, for no part of an identifier may be blank. Rights hang on an endpoint, and an
-- endpoint on a service code, never on a version: rows keep their numbers when a declaration is
-- applied again, and a right goes only when it, its endpoint or its service code is taken away.

CREATE TABLE server_conf (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version bigint NOT NULL  -- grows with every change of any table below
);
INSERT INTO server_conf (version) VALUES (0);

CREATE TABLE hosted_client (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance text NOT NULL CHECK (instance <> ''),
    member_class text NOT NULL CHECK (member_class <> ''),
    member_code text NOT NULL CHECK (member_code <> ''),
    subsystem_code text NOT NULL,
    status text NOT NULL CHECK (status IN ('registered', 'saved', 'disabled')),
    connection text NOT NULL CHECK (connection IN ('HTTP', 'HTTPS_NO_AUTH', 'HTTPS')),
    UNIQUE (instance, member_class, member_code, subsystem_code)
);

CREATE TABLE hosted_certificate (
    client_id bigint NOT NULL REFERENCES hosted_client ON DELETE CASCADE,
    position integer NOT NULL,
    certificate bytea NOT NULL,  -- DER
    PRIMARY KEY (client_id, position)
);

CREATE TABLE local_group (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES hosted_client ON DELETE CASCADE,
    code text NOT NULL CHECK (code <> ''),
    description text NOT NULL,
    position integer NOT NULL,
    UNIQUE (client_id, code)
);

CREATE TABLE local_group_member (
    group_id bigint NOT NULL REFERENCES local_group ON DELETE CASCADE,
    instance text NOT NULL,
    member_class text NOT NULL,
    member_code text NOT NULL,
    subsystem_code text NOT NULL,
    PRIMARY KEY (group_id, instance, member_class, member_code, subsystem_code)
);

CREATE TABLE service_code (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id bigint NOT NULL REFERENCES hosted_client ON DELETE CASCADE,
    code text NOT NULL CHECK (code <> ''),
    UNIQUE (client_id, code)
);

CREATE TABLE service (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code_id bigint NOT NULL REFERENCES service_code ON DELETE CASCADE,
    version text NOT NULL,  -- empty: none
    type text NOT NULL CHECK (type IN ('REST', 'OPENAPI', 'WSDL')),
    url text NOT NULL,
    timeout interval NOT NULL CHECK (timeout > interval '0'),
    verify_tls boolean NOT NULL,
    notice text,  -- null: enabled
    position integer NOT NULL,
    UNIQUE (code_id, version)
);

CREATE TABLE service_endpoint (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code_id bigint NOT NULL REFERENCES service_code ON DELETE CASCADE,
    method text NOT NULL,
    path text NOT NULL,
    UNIQUE (code_id, method, path)
);

CREATE TABLE described_endpoint (  -- the parts that a service is known to have
    service_id bigint NOT NULL REFERENCES service ON DELETE CASCADE,
    position integer NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    PRIMARY KEY (service_id, position)
);

CREATE TABLE access_right (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id bigint NOT NULL REFERENCES service_endpoint ON DELETE CASCADE,
    subject_type text NOT NULL CHECK (subject_type IN ('CLIENT', 'GLOBALGROUP', 'LOCALGROUP')),
    subject text[] NOT NULL,  -- the parts of its identifier, three or four for a client
    granted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (endpoint_id, subject_type, subject)
);
