from holdfast.kernel.batch cimport Batch

cdef Batch copy_rows(Batch batch, Py_ssize_t start, Py_ssize_t stop)
