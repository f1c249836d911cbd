-- Evidence that waits until the citizen has seen it. What it says is encrypted with a key that the
-- database never has: it stands in the token that the asking system got. A row goes when its evidence
-- is fetched or rejected, and when its time is over.

CREATE TABLE once_preview (
    id         text        PRIMARY KEY,
    client     text        NOT NULL, -- who asked, in path form
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    confirmed  boolean     NOT NULL DEFAULT false,
    sealed     bytea       NOT NULL  -- nonce, then AES-256-GCM
);
CREATE INDEX once_preview_expires ON once_preview (expires_at);
