"""How well questions on documents are answered: finding, answering, refusing, checking, and speed.

The evaluation's reading sets are indexed as a base, each text a document. Questions are parted by
their documents' titles: thresholds are set on one part, and all figures are of the other.
"""
