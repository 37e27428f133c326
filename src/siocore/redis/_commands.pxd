cimport cython

from siocore.cluster.broker cimport (
    AddEntry,
    Command,
    CountSubscribers,
    ListChannels,
    Publish,
    ReadEntries,
    StoreValue,
    TakeValue,
)

cpdef tuple arguments_of(Command command)
cpdef bytes bytes_of(str name)
cpdef str text_of(bytes name)
cpdef str key_of(Command command)
cpdef bint is_for_all(Command command)
cpdef object meaning_of(Command command, object reply)

@cython.locals(fields=list, pairs=dict, at=Py_ssize_t)
cpdef list entries_of(object reply)
