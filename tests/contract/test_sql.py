"""The SQL, the C and the documents name the same statuses, states and events."""

import pathlib
import re
import sqlite3

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
MIGRATIONS = sorted((TOP / "schema/sql/sqlite").glob("*.sql"))


def source(path):
    return (TOP / path).read_text(encoding="utf-8")


def check_names(sql, column):
    found = re.search(r"CHECK \(" + column + r" IN \(([^)]*)\)\)", sql)
    assert found, column
    return re.findall(r"'([^']*)'", found.group(1))


@pytest.fixture(scope="module")
def database():
    db = sqlite3.connect(":memory:")
    for path in MIGRATIONS:
        db.executescript(path.read_text(encoding="utf-8"))
    yield db
    db.close()


def schema_of(db, table):
    return db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]


def test_migrations_are_numbered_without_holes():
    numbers = [int(path.name.split("_")[0]) for path in MIGRATIONS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_migration_is_embedded_in_order():
    embedded = re.findall(r'EMBED\(\w+, "([^"]+)"\)', source("api-server/store/db_migrate.c"))
    assert embedded == [str(path.relative_to(TOP)) for path in MIGRATIONS]


def test_migrations_apply_to_an_empty_database(database):
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"transfer", "call", "call_event", "conversation"} <= tables


def test_transfer_status(database):
    names = re.search(
        r"transfer_status_names\[\] = \{(.*?)NULL", source("api-server/domain/transfer.c"), re.S
    )
    in_c = re.findall(r'"(\w+)"', names.group(1))
    assert in_c == ["ACTIVE", "ONGOING", "COMPLETED", "EXPIRED"]
    assert check_names(schema_of(database, "transfer"), "status") == in_c


def test_statements_use_only_known_names(database):
    statements = source("api-server/store/statements.def")
    known = set(check_names(schema_of(database, "transfer"), "status"))
    known |= set(check_names(schema_of(database, "call"), "state"))
    used = set()
    for part in re.findall(r"(?:status|state) (?:=|IN|NOT IN) (\([^)]*\)|'\w+')", statements):
        used |= set(re.findall(r"'(\w+)'", part))
    used |= set(re.findall(r"(?:THEN|ELSE) '(\w+)'", statements))
    assert used and used <= known


def test_a_status_beyond_the_list_is_refused(database):
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(
            "INSERT INTO transfer (account, id, conversation, status, uri_spelling, return_type,"
            " has_sip, has_input_context, header_mode, created_at, expires_at, received_at,"
            " completed_at, finished_at, reaped)"
            " VALUES ('a', 'i', 'c', 'CANCELLED', 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0)"
        )
