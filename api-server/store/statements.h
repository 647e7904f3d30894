/* statements.h - every SQL statement: X(symbol, role, text).  Prepared once per connection, bound
 * by name.  Included with X defined, any number of times.  Status and state names are those of
 * transfer_status_names; a contract test compares them and asks the planner for table scans. */

/* clang-format off */
#ifndef TRANSFER_COLUMNS
/* In the order in which read_transfer() takes them. */
#define TRANSFER_COLUMNS                                                                       \
	"account, id, conversation, status, uri_spelling, return_type, return_uri, sealed_auth,"   \
	" has_sip, has_input_context, header_mode, task, variables, created_at, expires_at,"       \
	" received_at, completed_at, output, call, token, worker, sip_call_id, from_tag, instance"
#define CALL_COLUMNS                                                                           \
	"n, id, account, transfer, conversation, worker, state, mode, started_at, answered_at,"    \
	" ended_at, status, cause, from_uri, to_uri, source, transport, call_id, codec, outcome,"  \
	" return_type, return_state, ended_by"
/* What a worker reported, as bounded text. */
#define INFO(key) "substr(CAST(json_extract(:info, '$." key "') AS TEXT), 1, 1024)"
#define UNCLAIM                                                                                \
	"status = CASE WHEN expires_at <= :now THEN 'EXPIRED' ELSE 'ACTIVE' END,"                  \
	" finished_at = CASE WHEN expires_at <= :now THEN expires_at ELSE 0 END,"                  \
	" sealed_auth = CASE WHEN expires_at <= :now THEN NULL ELSE sealed_auth END,"              \
	" call = NULL, token = NULL, worker = NULL, instance = NULL, sip_call_id = NULL,"          \
	" from_tag = NULL"
#define GIVE_UP                                                                                \
	"status = 'COMPLETED', completed_at = max(:now, received_at), finished_at = :now,"         \
	" reaped = 1, sealed_auth = NULL"
#endif

/* --- transfers --- */
X(TRANSFER_INSERT, DB_WRITER,
  "INSERT INTO transfer (" TRANSFER_COLUMNS ", finished_at, reaped)"
  " VALUES (:account, :id, :conversation, :status, :uri_spelling, :return_type, :return_uri,"
  " :sealed_auth, :has_sip, :has_input_context, :header_mode, :task, :variables, :created_at,"
  " :expires_at, 0, 0, NULL, :call, :token, :worker, :sip_call_id, :from_tag, :instance, 0, 0)"
  " ON CONFLICT (account, id) DO NOTHING")
X(TRANSFER_FIND, DB_WRITER,
  "SELECT " TRANSFER_COLUMNS " FROM transfer WHERE account = :account AND id = :id")
X(TRANSFER_READ, DB_READER,
  "SELECT " TRANSFER_COLUMNS " FROM transfer WHERE account = :account AND id = :id")
X(TRANSFER_OF_CLAIM, DB_WRITER,
  "SELECT " TRANSFER_COLUMNS " FROM transfer WHERE call = :call AND token = :token")
X(TRANSFER_CLAIM, DB_WRITER,
  "UPDATE transfer AS t SET status = 'ONGOING', call = :call, token = :token, worker = :worker,"
  " instance = :instance, sip_call_id = :sip_call_id, from_tag = :from_tag"
  " WHERE account = :account AND id = :id AND status = 'ACTIVE' AND expires_at > :now"
  " AND NOT EXISTS (SELECT 1 FROM transfer AS o WHERE o.account = t.account"
  " AND o.conversation = t.conversation AND o.status = 'ONGOING')")
X(TRANSFER_TAKE_OVER, DB_WRITER,
  "UPDATE transfer SET call = :call, token = :token, worker = :worker, instance = :instance"
  " WHERE account = :account AND id = :id AND status = 'ONGOING' AND received_at = 0"
  " AND sip_call_id = :sip_call_id AND from_tag = :from_tag")
X(CONVERSATION_BUSY, DB_WRITER,
  "SELECT 1 FROM transfer WHERE account = :account AND conversation = :conversation"
  " AND status = 'ONGOING'")
X(TRANSFER_RELEASE, DB_WRITER,
  "UPDATE transfer SET " UNCLAIM
  " WHERE call = :call AND token = :token AND status = 'ONGOING' AND received_at = 0"
  " AND header_mode = 0")
X(TRANSFER_RELEASE_MADE, DB_WRITER,
  "DELETE FROM transfer"
  " WHERE call = :call AND token = :token AND status = 'ONGOING' AND received_at = 0"
  " AND header_mode = 1")
X(TRANSFER_ANSWERED, DB_WRITER,
  "UPDATE transfer SET received_at = max(:at, created_at)"
  " WHERE call = :call AND instance = :instance AND received_at = 0")
X(TRANSFER_COMPLETE, DB_WRITER,
  "UPDATE transfer SET status = 'COMPLETED', output = :output,"
  " completed_at = max(:at, received_at, created_at), finished_at = max(:at, created_at),"
  " sealed_auth = NULL"
  " WHERE call = :call AND token = :token AND status = 'ONGOING'")
X(TRANSFER_COMPLETE_AGAIN, DB_WRITER,
  "UPDATE transfer SET output = :output, completed_at = max(:at, received_at, created_at),"
  " reaped = CASE reaped WHEN 1 THEN 2 ELSE 0 END"
  " WHERE call = :call AND token = :token AND status = 'COMPLETED' AND reaped < 2"
  " AND :output IS NOT NULL AND output IS NOT :output")
X(TRANSFER_EXPIRE, DB_WRITER,
  "UPDATE transfer SET status = 'EXPIRED', finished_at = expires_at, sealed_auth = NULL"
  " WHERE n IN (SELECT n FROM transfer WHERE status = 'ACTIVE' AND expires_at <= :now"
  " ORDER BY expires_at LIMIT :limit)")
X(TRANSFER_NEXT_EXPIRY, DB_WRITER,
  "SELECT min(expires_at) FROM transfer WHERE status = 'ACTIVE'")
X(TRANSFER_PURGE, DB_WRITER,
  "DELETE FROM transfer WHERE n IN (SELECT n FROM transfer WHERE finished_at > 0"
  " AND finished_at < :before ORDER BY finished_at LIMIT :limit)")

/* --- giving up the claims of workers that are gone --- */
X(HOLDERS, DB_WRITER,
  "SELECT DISTINCT instance FROM transfer WHERE status = 'ONGOING'"
  " UNION SELECT DISTINCT instance FROM call WHERE state IN ('ringing', 'talking')")
X(HELD_TRANSFERS, DB_WRITER,
  "SELECT call, token FROM transfer WHERE status = 'ONGOING' AND instance = :instance")
X(OPEN_CALLS, DB_WRITER,
  "SELECT id FROM call WHERE state IN ('ringing', 'talking') AND instance = :instance")
X(CALL_OF_CLAIM, DB_WRITER,
  "INSERT INTO call (id, account, transfer, conversation, worker, instance, state, started_at,"
  " call_id) SELECT call, account, id, conversation, worker, instance, 'ringing', :now, sip_call_id"
  " FROM transfer WHERE call = :call AND instance = :instance AND status = 'ONGOING'"
  " ON CONFLICT (id) DO NOTHING")
X(CALL_LOST_ENTRY, DB_WRITER,
  "INSERT INTO call_event (call, seq, at, type, info)"
  " SELECT n, :seq, :now, :type, json_object('reason', :reason) FROM call"
  " WHERE id = :call AND instance = :instance AND state IN ('ringing', 'talking')"
  " ON CONFLICT DO NOTHING")
X(CALL_LOST, DB_WRITER,
  "UPDATE call SET state = 'lost', ended_at = :now, cause = :reason"
  " WHERE id = :call AND instance = :instance AND state IN ('ringing', 'talking')")
X(REAP_ANSWERED, DB_WRITER,
  "UPDATE transfer SET " GIVE_UP
  " WHERE call = :call AND instance = :instance AND status = 'ONGOING' AND received_at > 0")
X(REAP_UNANSWERED, DB_WRITER,
  "UPDATE transfer SET " UNCLAIM
  " WHERE call = :call AND instance = :instance AND status = 'ONGOING' AND received_at = 0"
  " AND header_mode = 0")
X(REAP_MADE, DB_WRITER,
  "DELETE FROM transfer"
  " WHERE call = :call AND instance = :instance AND status = 'ONGOING' AND received_at = 0"
  " AND header_mode = 1")
X(CLAIM_STANDS, DB_WRITER,
  "SELECT 1 FROM transfer WHERE call = :call AND token = :token AND instance = :instance"
  " AND status IN ('ONGOING', 'COMPLETED') AND reaped = 0")

/* --- conversations --- */
X(CONVERSATION_FIND, DB_WRITER,
  "SELECT state FROM conversation WHERE account = :account AND conversation = :conversation")
X(CONVERSATION_SAVE, DB_WRITER,
  "INSERT INTO conversation (account, conversation, state, updated_hour)"
  " SELECT t.account, t.conversation, :state, :hour FROM transfer AS t"
  " WHERE t.call = :call AND t.token = :token AND t.status IN ('ONGOING', 'COMPLETED')"
  " AND NOT EXISTS (SELECT 1 FROM transfer AS o WHERE o.account = t.account"
  " AND o.conversation = t.conversation AND o.status = 'ONGOING' AND o.n <> t.n)"
  " ON CONFLICT (account, conversation)"
  " DO UPDATE SET state = excluded.state, updated_hour = excluded.updated_hour")
X(CONVERSATION_PURGE, DB_WRITER,
  "DELETE FROM conversation WHERE rowid IN (SELECT rowid FROM conversation"
  " WHERE updated_hour < :hour ORDER BY updated_hour LIMIT :limit)")

/* --- calls: the row is what its entries say --- */
X(CALL_FIND, DB_WRITER, "SELECT n FROM call WHERE id = :call AND instance = :instance")
X(CALL_EVENT_INSERT, DB_WRITER,
  "INSERT INTO call_event (call, seq, at, type, info) VALUES (:n, :seq, :at, :type, :info)"
  " ON CONFLICT DO NOTHING")
X(CALL_MAKE, DB_WRITER,
  "INSERT INTO call (id, worker, instance, state, started_at, account, transfer, mode, from_uri,"
  " to_uri, source, transport, call_id)"
  " VALUES (:call, :worker, :instance, 'ringing', :at, " INFO("account") ", " INFO("transfer") ", "
  INFO("mode") ", " INFO("from") ", " INFO("to") ", " INFO("source") ", " INFO("transport") ", "
  INFO("call_id") ") ON CONFLICT (id) DO NOTHING")
X(CALL_REFUSED, DB_WRITER,
  "UPDATE call SET state = 'refused', ended_at = :at, cause = " INFO("reason") ","
  " status = CAST(json_extract(:info, '$.status') AS INTEGER)"
  " WHERE n = :n AND state = 'ringing'")
X(CALL_CLAIMED, DB_WRITER,
  "UPDATE call SET transfer = coalesce(" INFO("transfer") ", transfer),"
  " conversation = " INFO("conversation") " WHERE n = :n")
X(CALL_ANSWERED, DB_WRITER,
  "UPDATE call SET state = CASE state WHEN 'ringing' THEN 'talking' ELSE state END,"
  " answered_at = :at, codec = " INFO("codec") " WHERE n = :n")
X(CALL_OUTCOME, DB_WRITER, "UPDATE call SET outcome = " INFO("transferType") " WHERE n = :n")
X(CALL_RETURN, DB_WRITER,
  "UPDATE call SET return_type = " INFO("type") ", return_state = " INFO("state") " WHERE n = :n")
X(CALL_BYE, DB_WRITER, "UPDATE call SET ended_by = " INFO("by") " WHERE n = :n")
X(CALL_ENDED, DB_WRITER,
  "UPDATE call SET state = CASE WHEN state IN ('ringing', 'talking') THEN 'ended' ELSE state END,"
  " ended_at = :at, cause = coalesce(" INFO("cause") ", cause) WHERE n = :n")
X(CALL_PURGE, DB_WRITER,
  "DELETE FROM call WHERE n IN (SELECT n FROM call WHERE started_at < :before"
  " AND state NOT IN ('ringing', 'talking') ORDER BY started_at LIMIT :limit)")
X(CALL_TRIM_REFUSED, DB_WRITER,
  "DELETE FROM call WHERE n IN (SELECT n FROM call WHERE state = 'refused'"
  " ORDER BY started_at DESC LIMIT :limit OFFSET :keep)")
X(CALL_LIST_ALL, DB_READER,
  "SELECT " CALL_COLUMNS " FROM call WHERE started_at < :before"
  " ORDER BY started_at DESC LIMIT :limit")
X(CALL_LIST_ACCOUNT, DB_READER,
  "SELECT " CALL_COLUMNS " FROM call WHERE account = :account AND started_at < :before"
  " ORDER BY started_at DESC LIMIT :limit")
X(CALL_LIST_REFUSED, DB_READER,
  "SELECT " CALL_COLUMNS " FROM call WHERE state = 'refused' AND started_at < :before"
  " AND (:account IS NULL OR account = :account)"
  " ORDER BY started_at DESC LIMIT :limit")
X(CALL_READ, DB_READER,
  "SELECT " CALL_COLUMNS " FROM call"
  " WHERE id = :id AND (:account IS NULL OR account = :account)")
X(CALL_TIMELINE, DB_READER,
  "SELECT seq, at, type, info FROM call_event WHERE call = :n ORDER BY seq")

/* --- the store itself --- */
X(CHECK, DB_WRITER,
  "INSERT INTO checked (one, at) VALUES (1, :now) ON CONFLICT (one) DO UPDATE SET at = excluded.at")
/* clang-format on */
