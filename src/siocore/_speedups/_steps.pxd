cpdef tuple first_step(coroutine)
