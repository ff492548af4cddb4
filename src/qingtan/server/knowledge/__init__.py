"""/v1/knowledge: bases, documents, jobs, search, answers with their citations, feedback."""
