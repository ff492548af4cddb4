"""Floor 3: one's own documents, read, cut, stored and found.

What passes between the parts: `reading` makes a `Document` of a file, `chunking` cuts it into
`Chunk`s, `store` holds both and finds chunks, `ingestion` runs the three as jobs, `retrieval` joins
what was found, `answers` answers from it, `evidence` says which sentences of an answer the passages
support, and `service` is the face of all of it.
"""
