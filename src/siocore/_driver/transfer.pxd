cpdef receive(int fd)
cpdef Py_ssize_t transmit(int fd, data) except -1
