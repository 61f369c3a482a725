/* Fields of responses: checked as `asgiserver.http.message.ResponseHead` checks them, or left to it;
   and written as the lines of HTTP/1. */

#include "core.h"

/* A field of the application in lower case; NULL: Python has to look at it, or there is an
   exception. `length` gets the value of Content-Length. */
static PyObject *take_response_field(
    const State *state, PyObject *field, PyObject **length, uint64_t *content_length) {
    if (!is_field(field)) {
        return NULL;
    }
    Span name = span_of(name_of(field)), value = span_of(value_of(field));
    Reader reader = reader_of(value);
    take_value(&reader);
    int known = find_name(&state->table, name);
    if (!reader_at_end(&reader)
        || (known < 0 && (name.size == 0 || !span_is_of(name, TOKEN)))) {
        return NULL;
    }
    switch (known < 0 ? ANY_FIELD : common_names[known].meaning) {
    case CONNECTION: /* these are acted upon, or take the place of the server's own */
    case TRANSFER_ENCODING:
    case OVERRIDING:
        return NULL;
    case CONTENT_LENGTH:
        if (*length != NULL || !span_number(value, 18, content_length)) {
            return NULL;
        }
        *length = value_of(field);
        break;
    default:
        break;
    }
    if (!span_has_upper(name)) {
        return Py_NewRef(field);
    }
    PyObject *items[2] = {NULL, Py_NewRef(value_of(field))};
    items[0] = known >= 0 ? Py_NewRef(state->names[known]) : lower_bytes_of(name);
    return tuple_of(items, 2);
}

const char check_response_doc[] =
    "check_response(fields)\n--\n\n"
    "(fields with names in lower case, Content-Length or None) of a list of fields, or None when\n"
    "Python has to look at them.";

PyObject *check_response(PyObject *module, PyObject *given) {
    const State *state = PyModule_GetState(module);
    PyObject *length = NULL;
    uint64_t content_length = 0;
    if (!PyList_CheckExact(given)) {
        Py_RETURN_NONE;
    }
    PyObject *fields = PyList_GetSlice(given, 0, PyList_GET_SIZE(given)); /* a list of our own */
    for (Py_ssize_t i = 0; fields != NULL && i < PyList_GET_SIZE(fields); i++) {
        PyObject *field = PyList_GET_ITEM(fields, i);
        PyObject *taken = take_response_field(state, field, &length, &content_length);
        if (taken == NULL) {
            Py_DECREF(fields);
            return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
        }
        PyList_SET_ITEM(fields, i, taken);
        Py_DECREF(field);
    }
    PyObject *items[2] = {fields, NULL};
    if (fields != NULL) {
        items[1] = length == NULL ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(content_length);
    }
    return tuple_of(items, 2);
}

const char encode_head_doc[] =
    "encode_head(start, fields, ending)\n--\n\n"
    "The start of a head, a line for each field, and the ending; or None when the fields are no\n"
    "list of tuples of bytes.";

PyObject *encode_head(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    const Span colon = {(const uint8_t *)": ", 2}, end = {(const uint8_t *)"\r\n", 2};
    if (count != 3 || !PyBytes_CheckExact(args[0]) || !PyBytes_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "encode_head takes bytes, fields and bytes");
        return NULL;
    }
    if (!PyList_CheckExact(args[1])) {
        Py_RETURN_NONE;
    }
    PyObject *fields = PyList_AsTuple(args[1]); /* so that nobody changes it meanwhile */
    if (fields == NULL) {
        return NULL;
    }
    size_t size = span_of(args[0]).size + span_of(args[2]).size;
    bool is_right = true;
    for (Py_ssize_t i = 0; is_right && i < PyTuple_GET_SIZE(fields); i++) {
        PyObject *field = PyTuple_GET_ITEM(fields, i);
        is_right = is_field(field);
        if (is_right) {
            size += span_of(name_of(field)).size + span_of(value_of(field)).size + 4;
        }
    }
    PyObject *head = is_right ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size) : Py_NewRef(Py_None);
    if (is_right && head != NULL) {
        Writer writer = writer_of(PyBytes_AS_STRING(head), size);
        bool fits = put_span(&writer, span_of(args[0]));
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
            PyObject *field = PyTuple_GET_ITEM(fields, i);
            fits = fits && put_span(&writer, span_of(name_of(field))) && put_span(&writer, colon)
                && put_span(&writer, span_of(value_of(field))) && put_span(&writer, end);
        }
        if (!fits || !put_span(&writer, span_of(args[2])) || writer_left(&writer) != 0) {
            Py_CLEAR(head);
            PyErr_SetString(PyExc_SystemError, "a head of another size");
        }
    }
    Py_DECREF(fields);
    return head;
}
