"""Packing: documents of many lengths into rows of one length, with little padding.

Best-fit decreasing: the longest piece first, each into the fullest row that still has room for
it. Against padding each document to a row of its own this is the larger part of the speed of
fine-tuning on short conversations.
"""

from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack pieces into rows.

    Args:
        lengths: of the pieces, each at least 1 and at most `capacity`.
        capacity: of a row.

    Returns:
        For each row the indices of its pieces; every piece is in exactly one row.
    """
    rows: list[list[int]] = []
    # Rows by the room that is left in them; bit r of `open_rooms` says whether there are any with
    # room r, so that the best fit is the lowest bit from the piece's length upwards.
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    open_rooms = 0
    for piece in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[piece]
        fitting = open_rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                open_rooms &= ~(1 << room)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(piece)
        by_room[room - length].append(row)
        open_rooms |= 1 << (room - length)
    return rows
