"""Memory of batches that were let go of, for those to come: the system would have to clear it page by page."""

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
    # The debug build hands everything back, so that a use after that is found.
    if HF_DEBUG or size != SPARE_BYTES or spares == SPARES_MAX:
        free(memory)
        return
    spare[spares] = memory
    spares += 1


@cython.cfunc
@cython.exceptval(check=False)
def take_memory(size: cython.Py_ssize_t) -> cython.p_void:
    """Take memory for a batch, a former batch's if there is one; NULL if there is none."""
    global spares
    if size == SPARE_BYTES and spares:
        spares -= 1
        return spare[spares]
    return malloc(size)
