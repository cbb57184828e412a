"""SQLite: files that are opened and marked in one way, statements that share a thread, the reply cache."""
