cimport cython


cdef class Subscription:
    cdef public object kind
    cdef public str name
    cdef public list receivers


@cython.freelist(64)
cdef class Command:
    cdef public bint refused
    cdef object _done

    cpdef answered(self, object reply)
    cpdef failed(self, str reason, bint refused=*)


cdef class Publish(Command):
    cdef public str channel
    cdef public bytes data
    cdef public bint sharded


cdef class CountSubscribers(Command):
    cdef public str channel
    cdef public bint sharded


cdef class ListChannels(Command):
    cdef public str pattern
    cdef public bint sharded


cdef class AddEntry(Command):
    cdef public str stream
    cdef public object fields
    cdef public object max_length


cdef class ReadEntries(Command):
    cdef public str stream
    cdef public str start
    cdef public str end
    cdef public object count


cdef class StoreValue(Command):
    cdef public str key
    cdef public bytes value
    cdef public double ttl


cdef class TakeValue(Command):
    cdef public str key


cdef class Broker:
    cdef public bint up
    cdef public str reason
    cdef public bint resumed
    cdef public object wake
    cdef public dict subscriptions
    cdef public dict followed
    cdef list _commands
    cdef dict _changes
    cdef public list _watchers

    cpdef received(self, object kind, str name, str channel, bytes data)
    cdef _wake(self)
