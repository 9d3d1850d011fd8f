cdef object column_view(object owner, Py_ssize_t rows, void *start, Py_ssize_t item_bytes, str code)
