cpdef tuple call_in_copied_context(function, argument)
cpdef tuple first_step(coroutine)
