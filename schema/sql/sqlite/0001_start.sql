-- Transfers, calls with their timelines, conversations.
-- Times are wall-clock milliseconds, 0 means "not yet".

CREATE TABLE transfer (
	n                 INTEGER PRIMARY KEY,
	account           TEXT NOT NULL,
	id                TEXT NOT NULL,
	conversation      TEXT NOT NULL,
	status            TEXT NOT NULL CHECK (status IN ('ACTIVE', 'ONGOING', 'COMPLETED', 'EXPIRED')),
	uri_spelling      INTEGER NOT NULL,
	return_type       INTEGER NOT NULL,   -- -1: the account's
	return_uri        TEXT,
	sealed_auth       BLOB,               -- gone when the transfer is over
	has_sip           INTEGER NOT NULL,
	has_input_context INTEGER NOT NULL,
	header_mode       INTEGER NOT NULL,
	task              TEXT,
	variables         TEXT,
	created_at        INTEGER NOT NULL,
	expires_at        INTEGER NOT NULL,
	received_at       INTEGER NOT NULL,
	completed_at      INTEGER NOT NULL,
	finished_at       INTEGER NOT NULL,   -- completed or expired: what retention counts from
	reaped            INTEGER NOT NULL CHECK (reaped IN (0, 1, 2)), -- 1: given up, 2: filled in since
	output            TEXT,
	call              TEXT,               -- the claim; it stays after completion
	token             TEXT,
	worker            TEXT,
	instance          TEXT,
	sip_call_id       TEXT,
	from_tag          TEXT,
	UNIQUE (account, id),
	CHECK ((status = 'ONGOING') <= (token IS NOT NULL))
) STRICT;

CREATE INDEX transfer_active ON transfer (expires_at) WHERE status = 'ACTIVE';
CREATE UNIQUE INDEX transfer_busy ON transfer (account, conversation) WHERE status = 'ONGOING';
CREATE INDEX transfer_held ON transfer (instance) WHERE status = 'ONGOING';
CREATE UNIQUE INDEX transfer_call ON transfer (call) WHERE call IS NOT NULL;
CREATE INDEX transfer_finished ON transfer (finished_at) WHERE finished_at > 0;

-- A call as its timeline tells it.
CREATE TABLE call (
	n            INTEGER PRIMARY KEY,
	id           TEXT NOT NULL UNIQUE,
	account      TEXT,                    -- NULL: refused before it was known
	transfer     TEXT,
	conversation TEXT,
	worker       TEXT NOT NULL,
	instance     TEXT NOT NULL,
	state        TEXT NOT NULL CHECK (state IN ('ringing', 'talking', 'ended', 'refused', 'lost')),
	mode         TEXT,
	started_at   INTEGER NOT NULL,
	answered_at  INTEGER NOT NULL DEFAULT 0,
	ended_at     INTEGER NOT NULL DEFAULT 0,
	status       INTEGER,
	cause        TEXT,
	from_uri     TEXT,
	to_uri       TEXT,
	source       TEXT,
	transport    TEXT,
	call_id      TEXT,
	codec        TEXT,
	outcome      TEXT,
	return_type  TEXT,
	return_state TEXT,
	ended_by     TEXT,
	last_seq     INTEGER NOT NULL DEFAULT 0  -- highest of its entries
) STRICT;

CREATE INDEX call_started ON call (started_at);
CREATE INDEX call_account ON call (account, started_at) WHERE account IS NOT NULL;
CREATE INDEX call_open ON call (instance) WHERE state IN ('ringing', 'talking');
CREATE INDEX call_refused ON call (started_at) WHERE state = 'refused';

-- What one report said of one call.
CREATE TABLE call_event (
	call    INTEGER NOT NULL REFERENCES call (n) ON DELETE CASCADE,
	seq     INTEGER NOT NULL,             -- of the first entry
	last    INTEGER NOT NULL,             -- of the last one
	entries TEXT NOT NULL,                -- JSON array of {"seq", "at", "type", "info"}
	PRIMARY KEY (call, seq)
) STRICT, WITHOUT ROWID;

-- The latest state of each conversation, for a reconnection.
CREATE TABLE conversation (
	account      TEXT NOT NULL,
	conversation TEXT NOT NULL,
	state        TEXT NOT NULL,
	updated_hour INTEGER NOT NULL,        -- coarse, so that a turn rarely moves an index entry
	UNIQUE (account, conversation)
) STRICT;

CREATE INDEX conversation_updated ON conversation (updated_hour);

-- One row that a readiness check writes.
CREATE TABLE checked (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	at  INTEGER NOT NULL
) STRICT;
