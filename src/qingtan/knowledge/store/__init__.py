"""Where bases, documents, chunks, vectors and jobs lie: SQLite, or PostgreSQL for several servers."""
