"""The precisions of the weights: of the layers' matrices, and of the embedding and the head."""

# Our engine keeps the head of a 4-bit model in 8 bits unless it is told otherwise, so llama.cpp
# gets the same by default; "int4-all" is for both the least that there is to read.
PRECISIONS = {
    "float32": ("float32", "float32"),
    "int8": ("int8", "int8"),
    "int4": ("int4", "int8"),
    "int4-all": ("int4", "int4"),
}
