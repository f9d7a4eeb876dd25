"""SQLite: one connection a request, writes in short immediate transactions, all files in one data folder."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from flask import current_app, g

from shop.passwords import hash_password
from shop.seed import PRODUCTS, QUESTIONS, REVIEWS, USERS, VOUCHERS

LATEST = 20

_QUERY_SECONDS = 2.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT, summary TEXT, cents INTEGER, stock INTEGER,
    manual TEXT);
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT, password TEXT, staff INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY, token TEXT UNIQUE, user_id INTEGER, seen REAL);
CREATE TABLE IF NOT EXISTS basket (
    session_id INTEGER, product_id INTEGER, quantity INTEGER, PRIMARY KEY (session_id, product_id));
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, user_id INTEGER, placed TEXT, address TEXT, cents INTEGER);
CREATE INDEX IF NOT EXISTS orders_of_user ON orders (user_id, id);
CREATE TABLE IF NOT EXISTS order_lines (
    order_id INTEGER, product_id INTEGER, name TEXT, quantity INTEGER, cents INTEGER);
CREATE INDEX IF NOT EXISTS lines_of_order ON order_lines (order_id);
CREATE TABLE IF NOT EXISTS reviews (
    id INTEGER PRIMARY KEY, product_id INTEGER, author TEXT, rating INTEGER, title TEXT, text TEXT);
CREATE INDEX IF NOT EXISTS reviews_of_product ON reviews (product_id, id);
CREATE TABLE IF NOT EXISTS questions (id INTEGER PRIMARY KEY, product_id INTEGER, author TEXT, text TEXT);
CREATE INDEX IF NOT EXISTS questions_of_product ON questions (product_id, id);
CREATE TABLE IF NOT EXISTS vouchers (code TEXT PRIMARY KEY, percent INTEGER);
CREATE TABLE IF NOT EXISTS supplier_prices (sku TEXT PRIMARY KEY, cents INTEGER);
CREATE TABLE IF NOT EXISTS stock_reports (sku TEXT PRIMARY KEY, title TEXT);
"""


def prepare(folder: Path) -> None:
    """Make folder, tables, papers and first rows where they are missing."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    # Beside the database, where a shop that took uploads would keep them, not in the package.
    shutil.copytree(Path(__file__).parent / "papers", folder, dirs_exist_ok=True)
    with closing(_open(folder)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM products").fetchone()[0] == 0:
            _seed(connection)
        connection.execute("COMMIT")


def _seed(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO products (sku, name, summary, cents, stock, manual) VALUES (?, ?, ?, ?, ?, ?)", PRODUCTS
    )
    connection.executemany(
        "INSERT INTO users (email, name, password, staff) VALUES (?, ?, ?, ?)",
        [(email, name, hash_password(password), staff) for email, name, password, staff in USERS],
    )
    connection.executemany(
        "INSERT INTO reviews (product_id, author, rating, title, text) VALUES (?, ?, ?, ?, ?)", REVIEWS
    )
    connection.executemany("INSERT INTO questions (product_id, author, text) VALUES (?, ?, ?)", QUESTIONS)
    connection.executemany("INSERT INTO vouchers (code, percent) VALUES (?, ?)", VOUCHERS)
    connection.execute(
        "INSERT INTO orders (user_id, placed, address, cents) VALUES (2, '2025-11-03 10:20:00', ?, 4900)",
        ("Harbour Street 4, Bremen",),
    )
    connection.execute("INSERT INTO order_lines VALUES (1, 1, 'Copper kettle', 1, 4900)")


def _open(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "shop.db", timeout=10, isolation_level=None)
    connection.row_factory = sqlite3.Row
    # The data lives as long as a test run does: a lost last write after a power cut does not matter.
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def database() -> sqlite3.Connection:
    """The connection of this request."""
    if "database" not in g:
        g.database = _open(current_app.config["DATA"])
    connection: sqlite3.Connection = g.database
    return connection


def reporting() -> sqlite3.Connection:
    """A second connection, read only and bounded: injected statements run here, and only here."""
    if "reporting" not in g:
        connection = _open(current_app.config["DATA"])
        connection.execute("PRAGMA query_only = ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 20_000_000)
        deadline = time.monotonic() + _QUERY_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 50_000)
        g.reporting = connection
    kept: sqlite3.Connection = g.reporting
    return kept


@contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    """A transaction that has the write lock from its start, so that no reader-turned-writer fails as busy."""
    connection = database()
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def close(_error: BaseException | None = None) -> None:
    """End the connections of this request, if it made any."""
    for kept in ("database", "reporting"):
        connection = g.pop(kept, None)
        if connection is not None:
            connection.close()
