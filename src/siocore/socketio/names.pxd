cpdef check_event_name(object name)
