"""What reads the PDF files of benchmarks/documents.py, each by its own library."""
