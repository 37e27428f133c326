cpdef recognise_head(head)
