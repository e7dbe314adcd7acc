"""Brings a database's schema up to date, at every start."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool


def migrate(path: Path) -> None:
    """Of the SQLite file at `path`, which is made if absent. Blocks; raises what SQLite or Alembic raise."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")  # stays with the file
    connection.close()
    upgrade(create_engine(f"sqlite:///{path}", poolclass=NullPool))


def upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
