-- Which container is in which archive file, by what people ask for: when its record has left the
-- database, nothing else here knows the message id any more.

CREATE TABLE archived_message (
    message_id   text        NOT NULL,
    local_client text        NOT NULL, -- in path form
    response     boolean     NOT NULL,
    time         timestamptz NOT NULL, -- of the message record
    number       bigint      NOT NULL, -- of the message record
    file         bigint      NOT NULL REFERENCES archive_file (id),
    PRIMARY KEY (message_id, number)
);
