"""What is kept: ports (`ports.py`), and their embedded implementation on SQLite."""
