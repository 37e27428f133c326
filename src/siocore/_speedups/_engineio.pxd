cpdef tuple decode_packet(text)
cpdef tuple decode_payload(body)
cpdef bytes encode_payload(packets)
cpdef bytes encode_binary_packet(data)
