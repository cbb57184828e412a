"""SQLite: opening and marking our files, statements that share a thread, the reply cache."""
