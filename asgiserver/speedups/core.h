/* What the parts of the module share: its state, and how bytes become objects. */

#ifndef ASGISERVER_CORE_H
#define ASGISERVER_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "head.h"
#include "hpack.h"

/* Made with the module, and only read after that. */
typedef struct {
    PyObject *names[NAMES];
    PyObject *methods[METHODS];
    PyObject *version_1_0, *version_1_1;
    PyObject *comma;
    PyObject *static_fields[STATIC_FIELDS]; /* of HPACK: (name, value) */
    PyObject *cookie, *host;                /* two of `names` */
    uint8_t static_index[NAMES];            /* the first with that name, 0: there is none */
    NameTable table;
    Huffman huffman;
} State;

static inline PyObject *bytes_of(Span span) {
    return PyBytes_FromStringAndSize((const char *)span.begin, (Py_ssize_t)span.size);
}

static inline Span span_of(PyObject *bytes) {
    Span span = {(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
    return span;
}

/* Fields: tuples of name and value. */

static inline bool is_field(PyObject *object) {
    return PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 2
        && PyBytes_CheckExact(PyTuple_GET_ITEM(object, 0))
        && PyBytes_CheckExact(PyTuple_GET_ITEM(object, 1));
}

static inline PyObject *name_of(PyObject *field) {
    return PyTuple_GET_ITEM(field, 0);
}

static inline PyObject *value_of(PyObject *field) {
    return PyTuple_GET_ITEM(field, 1);
}

static inline bool are_equal(PyObject *bytes, PyObject *other) {
    Span span = span_of(other);
    return bytes == other || span_is(span_of(bytes), (const char *)span.begin, span.size);
}

/* A tuple of `size` objects, which it takes over; NULL when one of them is NULL or memory ends. */
PyObject *tuple_of(PyObject *const *items, Py_ssize_t size);

/* What proxies say: the fields of `head` that mean that, by name, of the list of its fields; None
   when there are none. */
PyObject *make_forwarded(const State *state, const Head *head, PyObject *fields);

/* Path, raw path and query; None when the path has to be decoded. */
PyObject *make_parts(const Head *head, PyObject *target);

/* The span in lower case. */
PyObject *lower_bytes_of(Span span);

/* What lies between them is done by one thread at a time. */
#ifdef Py_GIL_DISABLED
#define BEGIN_USE(object) Py_BEGIN_CRITICAL_SECTION(object)
#define END_USE() Py_END_CRITICAL_SECTION()
#else
#define BEGIN_USE(object) { (void)(object)
#define END_USE() }
#endif

/* Functions of the module: see `response.c`, `h2_request.c`, `access_line.c`. */
PyObject *check_response(PyObject *module, PyObject *fields);
extern const char check_response_doc[];
PyObject *encode_head(PyObject *module, PyObject *const *args, Py_ssize_t count);
extern const char encode_head_doc[];
PyObject *read_fields(PyObject *module, PyObject *const *args, Py_ssize_t count);
extern const char read_fields_doc[];
PyObject *access_line(PyObject *module, PyObject *const *args, Py_ssize_t count);
extern const char access_line_doc[];

/* The type of `tally.c`. */
extern PyType_Spec tally_spec;

int add_type(PyObject *module, PyType_Spec *spec);

/* Adds the types for HPACK to the module, and what they need to its state. */
int add_hpack(PyObject *module, State *state);

#endif
