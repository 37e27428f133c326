from siocore.driven cimport ClientEndpoint, DialledConnection


cdef class ClientCarrier(DialledConnection):
    cpdef send_message(self, bytes text, list attachments)
    cpdef send_text(self, bytes payload, bint compress)
    cpdef send_binary(self, bytes payload, bint compress)


cdef class ClientSessionOwner(ClientEndpoint):
    pass
