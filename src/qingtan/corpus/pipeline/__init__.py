"""The stages of a build, piece by piece, on one machine or many."""
