-- What is written and taken away again, to learn whether a disk that was full has room.
CREATE TABLE message_log_trial (filler text NOT NULL);
