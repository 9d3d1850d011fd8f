"""Memory of freed batches, kept for later ones: the system would have to clear new memory page by page."""

import cython
from cython.cimports.holdfast.kernel.platform import HF_DEBUG
from cython.cimports.libc.stdlib import free, malloc

spare = cython.declare(cython.p_void[SPARES_MAX])
spares = cython.declare(cython.int)


@cython.cfunc
@cython.exceptval(check=False)
def give_back(memory: cython.p_void, size: cython.Py_ssize_t) -> cython.void:
    """Keep a batch's memory for the next one."""
    global spares
    # The debug build frees everything, so that a use after free is found.
    if HF_DEBUG or size != SPARE_BYTES or spares == SPARES_MAX:
        free(memory)
        return
    spare[spares] = memory
    spares += 1


@cython.cfunc
@cython.exceptval(check=False)
def take_memory(size: cython.Py_ssize_t) -> cython.p_void:
    """Take memory for a batch, that of a freed batch if possible; NULL without memory."""
    global spares
    if size == SPARE_BYTES and spares:
        spares -= 1
        return spare[spares]
    return malloc(size)
