"""Floor 3: one's own documents, read, cut, stored and found.

What passes between the parts: `reading` makes a `Document` of a file, `chunking` makes `Chunk`s of it,
`store` holds both and finds chunks, `ingestion` runs the three as jobs, `retrieval` joins what was
found, and `evidence` says which sentences of an answer the found passages support.
"""
