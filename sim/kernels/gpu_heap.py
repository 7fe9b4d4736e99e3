"""A binary heap of int64 keys in an array: the smallest first."""

from .jit import inlined


@inlined
def push(heap, size, key):
    """Add a key to a heap of ``size`` keys."""
    i = size
    while i > 0:
        above = (i - 1) >> 1
        if heap[above] <= key:
            break
        heap[i] = heap[above]
        i = above
    heap[i] = key


@inlined
def replace_first(heap, size, key):
    """Put a key in the place of the smallest."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key


@inlined
def drop_first(heap, size):
    """Take the smallest out of a heap of ``size`` keys."""
    if size > 1:
        replace_first(heap, size - 1, heap[size - 1])
